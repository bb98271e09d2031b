"""Under which names, and below which path, the server is reached."""

from __future__ import annotations

from urllib.parse import urlsplit

from modelpool.conf import ServerSettings

_ALL_INTERFACES = ("0.0.0.0", "::", "")  # noqa: S104  compared with, not bound to


def allowed_hosts(server: ServerSettings) -> list[str]:
    """Return the names the server answers to: those configured, its public one, and the address it listens at."""
    names = list(server.allowed_hosts)
    if server.host not in _ALL_INTERFACES:
        names.append(f"[{server.host}]" if ":" in server.host else server.host)
    public = urlsplit(server.public_url or "").hostname
    return [*names, public] if public else names


def public_prefix(server: ServerSettings) -> str:
    """Return the path below which the server is reached, without a slash at its end; usually empty."""
    return urlsplit(server.public_url or "").path.rstrip("/")


def public_origin(server: ServerSettings) -> str:
    """Return scheme, host and port of ``server.public_url``, empty where there is none."""
    parts = urlsplit(server.public_url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
