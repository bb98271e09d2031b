"""The data plane of this process: the web server's own where there is one, else one made at the first prediction."""

from __future__ import annotations

import atexit
import threading

from modelpool import conf
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.inference.data_plane import DataPlane

_lock = threading.Lock()
_current: DataPlane | None = None


def use_data_plane(plane: DataPlane | None) -> None:
    """Say which data plane Django's views use: the server calls it once, with the one that its fast lane uses."""
    global _current  # noqa: PLW0603 - there is one per process
    _current = plane


def current_data_plane() -> DataPlane:
    """Return it; under a plain WSGI server, which has no fast lane, make and start one."""
    global _current  # noqa: PLW0603
    with _lock:
        if _current is None:
            _current = DataPlane(conf.settings().serving)
            _current.start()
            atexit.register(_current.close)
        return _current


def data_plane_in_use() -> DataPlane | None:
    """Return it where this process has one."""
    return _current


def current_host() -> ModelHost | None:
    """Return the maker of child processes that this process has already, if it has one."""
    return None if _current is None else _current.host
