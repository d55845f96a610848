"""Hostile content: characters that nobody sees, and text that gives the model orders."""
