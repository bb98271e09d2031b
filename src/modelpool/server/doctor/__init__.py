"""The checks of ``modelpool doctor``."""
