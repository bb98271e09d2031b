"""REST, version 1: one file of routes per noun."""
