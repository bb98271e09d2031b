"""Registered models, their versions, aliases and which one is active."""
