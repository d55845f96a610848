"""A trial of everything, offline: forty support tickets, a local model and the story of what happened."""
