"""Reports of versions that were given up reach the registry, whatever goes wrong with one of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from modelpool.core.runtime.pool import PoolKey
from modelpool.core.signature import ModelSignature
from modelpool.inference.loading.quarantining import QuarantineReports, Write
from modelpool.inference.resolution.lookup import Route

_DEADLINE_S = 20


@contextmanager
def reporting(write: Write) -> Iterator[QuarantineReports]:
    reports = QuarantineReports(write)
    try:
        yield reports
    finally:
        reports.close()


def route_to(model: str) -> Route:
    key = PoolKey(uuid4(), uuid4(), uuid4())
    signature = ModelSignature(inputs=(), outputs=())
    return Route(key, "acme", model, 1, signature, "onnx", False, uuid4(), "files", 1, "")


def test_a_report_that_breaks_is_tried_again_and_holds_up_no_other() -> None:
    written: list[str] = []
    is_done, broke = threading.Event(), threading.Event()

    def write(route: Route, reason: str) -> None:
        if not broke.is_set():
            broke.set()
            raise RuntimeError("unforeseen")
        written.append(route.model)
        if len(written) == 2:
            is_done.set()

    with reporting(write) as reports:
        reports.report(route_to("broken"), "it crashes")
        reports.report(route_to("other"), "it crashes")
        assert is_done.wait(_DEADLINE_S)
    assert sorted(written) == ["broken", "other"]


def test_what_waits_lets_the_others_go_first() -> None:
    written: list[str] = []
    both_reported, is_done = threading.Event(), threading.Event()

    def write(route: Route, reason: str) -> None:
        both_reported.wait(_DEADLINE_S)
        if route.model == "first" and not written:
            raise RuntimeError("unforeseen")
        written.append(route.model)
        if len(written) == 2:
            is_done.set()

    with reporting(write) as reports:
        reports.report(route_to("first"), "it crashes")
        reports.report(route_to("second"), "it crashes")
        both_reported.set()
        assert is_done.wait(_DEADLINE_S)
    assert written == ["second", "first"]
