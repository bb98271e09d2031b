"""What may stand in a path: strict, bounded, and the same value everywhere."""

from __future__ import annotations

from uuid import UUID

from django.urls import register_converter


class IdConverter:
    """A UUID, in either case."""

    regex = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

    def to_python(self, value: str) -> UUID:
        """Return the id."""
        return UUID(value)

    def to_url(self, value: UUID | str) -> str:
        """Return its text."""
        return str(value)


class VersionNumberConverter:
    """A version's number: 1, 2, 3 …"""

    regex = "[1-9][0-9]{0,8}"

    def to_python(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_url(self, value: int) -> str:
        """Return its text."""
        return str(value)


def register() -> None:
    """Make ``<id:…>`` and ``<number:…>`` known to Django."""
    register_converter(IdConverter, "id")
    register_converter(VersionNumberConverter, "number")
