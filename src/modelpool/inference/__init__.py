"""The prediction path; no tables."""
