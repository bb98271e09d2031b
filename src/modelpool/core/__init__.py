"""Pure Python: no Django, no HTTP, no cloud library."""
