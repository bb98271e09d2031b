"""Versions in memory: loaded and tried out, within the budget, given up when they keep failing."""
