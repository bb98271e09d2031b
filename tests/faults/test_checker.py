"""The checker sees what it is there for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import STALE_S, Checker, Seen
from tests.faults.history import DONE, REFUSED, UNKNOWN, History, Operation


def operation(op: str, began: float = 0.0, result: str = DONE, **facts: Any) -> Operation:
    status = {DONE: 200, REFUSED: 409, UNKNOWN: 503}[result]
    known: dict[str, Any] = {"version": 1, "sha256": "a", "value": 1.0, "status": status} | facts
    return Operation(op, "acme", "m", began=began, ended=began + 1, result=result, **known)


def seen(number: int = 1, sha256: str = "a", *, is_active: bool = True, found: str | None = None) -> Seen:
    return Seen(number, sha256, is_active, lambda: found or sha256)


SECOND: dict[str, Any] = {"version": 2, "sha256": "b", "value": 2.0}
WRONG = {
    "is lost": ([operation("register")], []),
    "has changed": ([operation("register")], [seen(sha256="b")]),
    "is not what it says": ([operation("register")], [seen(found="b")]),
    "a deleted version is there": ([operation("register"), operation("delete", 2)], [seen()]),
    "sent by nobody": ([operation("register"), operation("register", 2, REFUSED, **SECOND)], [seen(), seen(2, "b")]),
    "has 0 active": ([operation("register")], [seen(is_active=False)]),
    "has 2 active": ([operation("register"), operation("register", 2, **SECOND)], [seen(), seen(2, "b")]),
    "a number was given twice": ([operation("register"), operation("register", 2, sha256="b")], [seen()]),
    "a lower number": ([operation("register", **SECOND), operation("register", 2)], [seen(), seen(2, "b")]),
    "nobody had activated": (
        [operation("register"), operation("register", 2, **SECOND), operation("predict", 4, value=2.0)],
        [seen()],
    ),
    "was not active any more": (
        [
            operation("register"),
            operation("register", 2, **SECOND),
            operation("activate", 4, version=2),
            operation("predict", 6 + STALE_S, value=1.0),
        ],
        [seen(is_active=False), seen(2, "b")],
    ),
    "that no version": ([operation("register"), operation("predict", 2, value=7.0)], [seen()]),
    "wrong bytes": ([operation("register"), operation("download", 2, sha256="b")], [seen()]),
    "was not found": ([operation("register"), operation("download", 2, REFUSED, status=404)], [seen()]),
    "nobody foresaw": ([operation("register"), operation("predict", 2, UNKNOWN, status=500)], [seen()]),
}


@pytest.mark.parametrize("words", WRONG)
def test_it_says_what_is_wrong(words: str, tmp_path: Path) -> None:
    operations, final = WRONG[words]
    history = History(tmp_path / "history", operations)
    faults = Checker(history, {("acme", "m"): final}).check()
    assert any(words in fault for fault in faults), faults


def test_it_has_nothing_to_say_about_what_is_right(tmp_path: Path) -> None:
    operations = [
        operation("register"),
        operation("predict", 2),
        operation("register", 2, UNKNOWN, **(SECOND | {"version": None})),
        operation("register", 4, version=3, sha256="c", value=3.0),
        operation("activate", 6, version=3),
        operation("predict", 8, value=3.0),
        operation("predict", 8, value=1.0),
        operation("delete", 9),
        operation("download", 10, REFUSED, status=404),
    ]
    final = [seen(2, "b", is_active=False), seen(3, "c")]
    assert Checker(History(tmp_path / "history", operations), {("acme", "m"): final}).check() == []
