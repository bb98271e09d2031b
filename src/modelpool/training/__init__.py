"""Datasets, training jobs, the worker that runs them, and the built-in trainers."""
