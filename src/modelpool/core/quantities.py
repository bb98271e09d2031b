"""Sizes and durations as people write them in settings."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_UNITS = {
    None: 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_SECONDS = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(value: str | int) -> int:
    """Return bytes: ``"2GiB"`` is 2147483648, ``"10MB"`` 10000000, a plain number is bytes."""
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is not a size; write for example '512MiB' or '2GiB'")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_duration(value: str | float) -> float:
    """Return seconds: ``"90s"`` is 90.0, ``"2h"`` 7200.0, a plain number is seconds."""
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write for example '30s', '10m' or '2h'")
    return float(match[1]) * _SECONDS[match[2]]


class Size(int):
    """A count of bytes, written as ``"512MiB"`` or a number."""


class Duration(float):
    """Seconds, written as ``"30s"``, ``"10m"``, ``"2h"`` or a number."""
