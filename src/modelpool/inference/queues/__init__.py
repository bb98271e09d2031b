"""Calls that do not run at once: a lane for each model, and who computes what waits in it."""
