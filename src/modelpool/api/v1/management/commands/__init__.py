"""Commands of the REST wire."""
