"""Datasets: the list, one of them, and how they come."""
