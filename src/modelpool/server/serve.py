"""``modelpool serve`` from beginning to end: lock, prepare, open the socket, supervise, say when it is ready."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from modelpool import conf
from modelpool.core.metrics.families import DIRECTORY_VARIABLE
from modelpool.server.processes.homelock import lock_home, lock_path
from modelpool.server.processes.listening import open_socket, url_of
from modelpool.server.processes.supervisor import Supervisor
from modelpool.server.telemetry.logs import configure_logging

logger = logging.getLogger(__name__)

_POLL_S = 0.1
_SAY_WHY_AFTER_S = 10.0


def serve(*, on_ready: Callable[[str], None] = lambda url: None) -> int:
    """Serve ``MODELPOOL_HOME`` with this process's settings until told to stop; return the exit code.

    ``on_ready`` is called in a thread, with the address, once ``/readyz`` has said yes. Raises
    :class:`~modelpool.core.errors.ModelpoolError` when the home is served already, the settings are wrong or the
    address cannot be had.
    """
    home = conf.home().prepare()
    settings = conf.settings()
    configure_logging(settings.server)
    lock = lock_home(home)
    _empty_run_dir(home)
    listening = open_socket(settings.server.host, port=settings.server.port)
    url = url_of(listening)
    environment = _environment(home)
    lock.describe(url)
    supervisor = Supervisor(
        settings, listening=listening, environment=environment, on_ready=lambda: _announce(url, on_ready)
    )
    return supervisor.run()


def is_ready(url: str) -> tuple[bool, str]:
    """Ask ``/readyz`` once; return whether it said yes, and what it said."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status == 200, response.read(10_000).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return False, str(error)
    finally:
        connection.close()


def _announce(url: str, on_ready: Callable[[str], None]) -> None:
    threading.Thread(target=_wait_and_announce, args=(url, on_ready), daemon=True).start()


def _wait_and_announce(url: str, on_ready: Callable[[str], None]) -> None:
    say_why_at = time.monotonic() + _SAY_WHY_AFTER_S
    ready, said = is_ready(url)
    while not ready:
        if time.monotonic() > say_why_at:
            logger.warning("the server runs but is not ready: %s; 'modelpool doctor' says what to do", said)
            say_why_at = float("inf")
        time.sleep(_POLL_S)
        ready, said = is_ready(url)
    print(f"Modelpool is ready: {url} (console {url}/console/)", flush=True)
    on_ready(url)


def _environment(home: conf.Home) -> dict[str, str]:
    """Return the children's environment: ours, with the home fixed, and a folder for the metrics of all processes."""
    metrics = home.run_dir / "metrics"
    metrics.mkdir(mode=0o700, exist_ok=True)
    own = {"MODELPOOL_HOME": str(home.path), DIRECTORY_VARIABLE: str(metrics)}
    return {"MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1", **os.environ, **own}


def _empty_run_dir(home: conf.Home) -> None:
    for path in home.run_dir.iterdir():
        if path == lock_path(home):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
