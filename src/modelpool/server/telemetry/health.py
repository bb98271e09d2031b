"""Whether this process lives, and whether it can do its work: ``/healthz`` and ``/readyz``.

Both answer anybody, so they name parts of the system, never tenants, models, paths or versions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
from django.db import close_old_connections, connection

from modelpool.inference.asgi import Send
from modelpool.server.connections.replies import send_whole
from modelpool.server.migrations import has_pending_migrations
from modelpool.storage.services import get_store

logger = logging.getLogger(__name__)

_CACHE_S = 1.0
_TIMEOUT_S = 2.5


class Readiness:
    """Finds the reasons why this process is not ready; asked often, it looks at most once a second.

    ``preloaded`` says whether the models to be loaded at start are, ``isolation_problem`` why uploads are not opened,
    ``is_fed`` whether the change feed was read lately, without which cached answers are not trusted.
    The checks run in a thread of their own: a database that does not answer holds up neither the event loop nor the
    next question, and is a reason itself.
    """

    def __init__(
        self,
        *,
        preloaded: Callable[[], bool],
        isolation_problem: Callable[[], str] = lambda: "",
        is_fed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._preloaded = preloaded
        self._is_fed = is_fed
        self._isolation_problem = isolation_problem
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._checking: asyncio.Future[list[str]] | None = None
        self._found: list[str] = ["starting"]
        self._found_at = float("-inf")
        self._is_migrated = False
        self.is_draining = False

    async def reasons(self) -> list[str]:
        """Return what is missing, in a fixed order; empty when the process is ready."""
        found = list(await self._outside())
        if not self._is_fed():
            found.append("feed")
        if not self._preloaded():
            found.append("preload")
        return ["draining", *found] if self.is_draining else found

    def degraded(self) -> list[str]:
        """Return what does not work although the process is ready; the log and ``modelpool doctor`` tell more."""
        return ["isolation"] if self._isolation_problem() else []

    async def _outside(self) -> list[str]:
        if time.monotonic() - self._found_at < _CACHE_S:
            return self._found
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().run_in_executor(self._thread, self._check)
        try:
            self._found = await asyncio.wait_for(asyncio.shield(self._checking), _TIMEOUT_S)
        except TimeoutError:
            self._found = ["database_or_store_is_slow"]
        self._found_at = time.monotonic()
        return self._found

    def _check(self) -> list[str]:
        close_old_connections()
        checks = {"database": self._check_database, "migrations": self._check_migrations, "store": _check_default_store}
        found = []
        for reason, check in checks.items():
            try:
                check()
            except Exception as error:  # noqa: BLE001  whatever a driver or a mount raises, the answer is the same
                logger.warning("not ready: %s: %s", reason, error)
                found.append(reason)
                if reason == "database":
                    break
        close_old_connections()
        return found

    def _check_database(self) -> None:
        if connection.vendor == "sqlite":
            connection.close()  # one that is open goes on with a file that was moved away
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    def _check_migrations(self) -> None:
        if not self._is_migrated and has_pending_migrations():
            raise RuntimeError("migrations are to be applied; run: modelpool manage migrate")
        self._is_migrated = True


def _check_default_store() -> None:
    get_store("default").check()


async def answer_health(send: Send) -> None:
    """``/healthz``: the process runs and its event loop turns."""
    await send_whole(send, status=200, body=b'{"status":"ok"}', content_type="application/json")


async def answer_readiness(send: Send, readiness: Readiness) -> None:
    """``/readyz``: 200, or 503 with the reasons; ``degraded`` names what does not work either way."""
    reasons = await readiness.reasons()
    document: dict[str, object] = {"status": "unavailable", "reasons": reasons} if reasons else {"status": "ready"}
    degraded = readiness.degraded()
    if degraded:
        document["degraded"] = degraded
    headers = [("Retry-After", "1")] if reasons else []
    await send_whole(
        send,
        status=503 if reasons else 200,
        body=msgspec.json.encode(document),
        content_type="application/json",
        headers=headers,
    )
