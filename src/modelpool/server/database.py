"""From ``[database]`` to Django's ``DATABASES``."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from modelpool.conf import DatabaseSettings, Home
from modelpool.core.errors import ConfigurationError

_SQLITE_OPTIONS: dict[str, Any] = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
_POSTGRES_OPTIONS: dict[str, Any] = {
    "connect_timeout": 3,
    # A server that vanished from the network would otherwise be waited for a quarter of an hour.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "options": "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000",
}

_POOL: dict[str, Any] = {"min_size": 1, "timeout": 10, "max_idle": 60, "reconnect_timeout": 5}


def database_settings(settings: DatabaseSettings, *, home: Home) -> dict[str, Any]:
    """Return the entry for ``DATABASES["default"]``.

    ``sqlite:///relative.sqlite3`` is below the home folder, ``sqlite:////absolute/path`` is not;
    ``postgres://user:password@host:5432/name?sslmode=require`` hands its query on to the driver.
    """
    url = settings.url
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        if settings.pool:
            raise ConfigurationError("database.pool: only connections to PostgreSQL are shared; leave it out")
        path = unquote(parts.path.removeprefix("/"))
        if not path or parts.netloc:
            raise ConfigurationError(f"database.url: {url!r} names no file; write sqlite:///modelpool.sqlite3")
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(home.resolve(path)),
            "CONN_MAX_AGE": 60,  # opening one takes longer than what a first prediction asks it
            "OPTIONS": dict(_SQLITE_OPTIONS),
        }
    if parts.scheme in ("postgres", "postgresql"):
        return _postgres(parts, pool=settings.pool)
    raise ConfigurationError(f"database.url: {parts.scheme!r} is not known; begin with sqlite:/// or postgres://")


def open_existing_only(database: dict[str, Any]) -> None:
    """Let processes that serve open a SQLite file that is there, and never make one.

    An empty file in the place of one that was moved away would answer that nothing exists, and its log of writes would
    be taken for that of the file that comes back.
    """
    if database["ENGINE"] == "django.db.backends.sqlite3" and Path(database["NAME"]).is_absolute():
        database["NAME"] = f"{Path(database['NAME']).as_uri()}?mode=rw"


def _postgres(parts: Any, *, pool: int) -> dict[str, Any]:
    """Each thread keeps a connection, or ``pool`` connections of a process go from request to request."""
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ConfigurationError("database.url: no database is named; write postgres://user:password@host:5432/name")
    query = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0 if pool else 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": _POSTGRES_OPTIONS | query | ({"pool": _POOL | {"max_size": pool}} if pool else {}),
    }
