"""Artifacts: rows that name bytes, and the stores that keep them."""
