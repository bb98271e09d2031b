"""What clients did and were told: one line of JSON per operation, for the checker and for people."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
"""The client was told that it is done, that it is not; or was told neither: a time-out, a reset, any 5xx."""


@dataclass(slots=True)
class Operation:
    """One request; times are of the monotonic clock, shared by all clients of a test."""

    op: str
    tenant: str
    model: str
    version: int | None = None
    sha256: str = ""
    value: float | None = None
    began: float = 0.0
    ended: float = 0.0
    result: str = UNKNOWN
    status: int = 0
    detail: str = ""

    def settle(self, status: int, detail: str = "") -> None:
        """Note the answer."""
        self.status, self.detail = status, detail[:300]
        if status < 400:
            self.result = DONE
        else:
            self.result = REFUSED if status < 500 else UNKNOWN


class History:
    """Every operation that has ended; safe for threads."""

    def __init__(self, file: Path, operations: list[Operation] | None = None) -> None:
        self.file = file
        self.operations: list[Operation] = []
        self._of: defaultdict[tuple[str, str, str], list[Operation]] = defaultdict(list)
        self._lock = threading.Lock()
        for operation in operations or ():
            self._add(operation)

    @contextmanager
    def operation(self, op: str, tenant: str, model: str, **known: Any) -> Iterator[Operation]:
        """Record what the block finds out; an error of the connection is an unknown result."""
        operation = Operation(op, tenant, model, began=time.monotonic(), **known)
        try:
            yield operation
        except httpx.RequestError as error:
            operation.result, operation.detail = UNKNOWN, repr(error)[:300]
        finally:
            operation.ended = time.monotonic()
            with self._lock, self.file.open("a") as file:
                self._add(operation)
                file.write(json.dumps(asdict(operation)) + "\n")

    def of(self, op: str, tenant: str, model: str, **wanted: object) -> list[Operation]:
        """Return the operations of a kind that have such facts."""
        with self._lock:
            found = list(self._of[op, tenant, model])
        return [one for one in found if all(getattr(one, name) == value for name, value in wanted.items())]

    def since(self, began: float, choose: Callable[[Operation], bool] = lambda _: True) -> list[Operation]:
        """Return what began after a moment."""
        with self._lock:
            return [one for one in self.operations if one.began >= began and choose(one)]

    def _add(self, operation: Operation) -> None:
        self.operations.append(operation)
        self._of[operation.op, operation.tenant, operation.model].append(operation)
