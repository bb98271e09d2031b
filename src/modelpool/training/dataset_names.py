"""What datasets may be called, whichever way they come."""

from __future__ import annotations

from modelpool.core.errors import InvalidField

MOST_NAME_CHARS = 200


def check_dataset_name(name: str) -> str:
    """Return a name of one line that reads as it is written, or ""; raise :class:`InvalidField` for any other.

    Controls of the direction of text are refused as those of lines are: ``txt.exe`` could be shown for ``exe.txt``.
    """
    if len(name) > MOST_NAME_CHARS or not name.isprintable():
        raise InvalidField("name", f"must be one line of at most {MOST_NAME_CHARS} characters.")
    return name
