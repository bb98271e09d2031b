"""The built-in artifact stores, one file per kind."""
