"""The page of one version: what it is, how good it is, and a place to try it."""
