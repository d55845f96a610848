"""Personal data: found through Presidio, replaced as the policy says, put back by the session that took it out."""
