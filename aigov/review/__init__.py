"""Tickets for what a machine may not decide: kept durably, sealed, decided by a person, used once."""
