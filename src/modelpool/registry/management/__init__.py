"""Commands of ``modelpool manage``."""
