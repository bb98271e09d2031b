"""How bytes become a callable: one file per model format."""
