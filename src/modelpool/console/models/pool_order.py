"""Which versions of a pool a page shows, and in what order."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.models.pool import Member, Pool
from modelpool.console.models.sorting import Column
from modelpool.registry.models import ModelVersion

STATES = {
    "ready": gettext_lazy("ready to answer"),
    "aliased": gettext_lazy("with an alias"),
    "quarantined": gettext_lazy("in quarantine"),
    "pending": gettext_lazy("pending"),
    "failed": gettext_lazy("failed"),
}
"""What the table can be narrowed to: the word in the address, and what people read."""

_METRIC = "metric."
_KEYS: dict[str, Any] = {
    "number": lambda member: member.number,
    "size": lambda member: (member.size_bytes, member.number),
    "made": lambda member: (member.candidate.created_at, member.number),
}


def narrowed(pool: Pool, state: str, *, aliased: Set[int]) -> list[Member]:
    """Return the versions in that state, all for anything unknown; ``aliased`` are those that have an alias."""
    if state == "ready":
        return [member for member in pool.members if member.may_answer]
    if state == "aliased":
        return [member for member in pool.members if member.number in aliased]
    if state == "quarantined":
        return [member for member in pool.members if member.is_quarantined]
    if state in (ModelVersion.State.PENDING, ModelVersion.State.FAILED):
        return [member for member in pool.members if member.state == state]
    return pool.members


def order_of(text: str, metrics: list[str]) -> str:
    """Return the order that the address asks for, newest first for anything unknown."""
    known = {*_KEYS, *(f"{_METRIC}{name}" for name in metrics)}
    return text if text.removeprefix("-") in known else "-number"


def sorted_by(members: list[Member], order: str) -> list[Member]:
    """Return the versions in that order; those without the metric stand last, whichever way."""
    key, descends = order.removeprefix("-"), order.startswith("-")
    if not key.startswith(_METRIC):
        return sorted(members, key=_KEYS[key], reverse=descends)
    name = key.removeprefix(_METRIC)
    having = [(value, member.number, member) for member in members if (value := member.value(name)) is not None]
    having.sort(key=lambda one: one[:2], reverse=descends)
    return [member for *_, member in having] + [member for member in members if member.value(name) is None]


def columns_of(pool: Pool, metrics: list[str]) -> list[Column]:
    """Return the headings of the table."""
    return [
        Column(_("Version"), "number", descends_first=True),
        *(
            Column(_breakable(name), f"{_METRIC}{name}", is_number=True, descends_first=pool.mode(name) == "max")
            for name in metrics
        ),
        Column(_("File"), "size", descends_first=True),
        Column(_("Made"), "made", descends_first=True),
    ]


def _breakable(name: str) -> str:
    """Let a long name be broken after each underscore."""
    return name.replace("_", "_\u200b")
