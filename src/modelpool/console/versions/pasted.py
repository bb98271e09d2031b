"""JSON that somebody pasted."""

from __future__ import annotations

import json
from typing import Any


def json_in(text: str) -> Any:
    """Return the value; raise ``ValueError`` for what is no JSON, nested too deeply, or cannot be sent as UTF-8.

    Python reads ``"\\ud800"``, half of a surrogate pair, into a text that nothing can write again.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value
