"""The demonstration of ``modelpool serve --demo``."""
