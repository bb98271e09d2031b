"""Which files are tables."""

from __future__ import annotations

from modelpool.training.data_formats import BY_SUFFIX, PACKED

_SHORT = tuple(suffix for suffix in PACKED if len(suffix) <= 4)
ACCEPT = ", ".join([*BY_SUFFIX, *(f"{suffix}{end}" for suffix in (".csv", ".jsonl") for end in _SHORT)])
"""The ends of their names, as a file field takes them."""
