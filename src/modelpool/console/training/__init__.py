"""Training by mouse: from a table to a version."""
