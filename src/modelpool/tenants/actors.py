"""Who does something: passed to every service, written to the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Actor:
    """A key, a person, or the system itself (``worker``, ``cli``); ``label`` is what people read."""

    kind: Literal["key", "user", "system"]
    id: str
    label: str
    request_id: str = ""


SYSTEM = Actor(kind="system", id="", label="system")
