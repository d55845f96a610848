"""One policy in front of every AI call."""
