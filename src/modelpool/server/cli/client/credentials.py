"""Where the client's server, key and tenant come from: options, variables, then what ``modelpool login`` saved."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from modelpool.server.cli.client.failures import NotLoggedIn


class Credentials(msgspec.Struct, frozen=True):
    """A server's address, a key for it, and the tenant to work in."""

    url: str
    key: str
    tenant: str = "default"


def credentials_file() -> Path:
    """Return where ``login`` saves: below ``XDG_CONFIG_HOME``, by default ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "modelpool" / "credentials.json"


def save(credentials: Credentials) -> Path:
    """Write the file whole, readable by its owner alone."""
    path = credentials_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(credentials))
    private.replace(path)
    return path


def find(*, tenant: str | None = None) -> Credentials:
    """Return what to use; a saved key is only ever sent to the server that it was saved for.

    Raises :class:`NotLoggedIn` that says what is missing.
    """
    saved = _load()
    url = (os.environ.get("MODELPOOL_URL") or (saved.url if saved else "")).rstrip("/")
    if not url:
        raise NotLoggedIn("No server is known; run 'modelpool login URL', or set MODELPOOL_URL and MODELPOOL_KEY.")
    matching = saved if saved is not None and saved.url == url else None
    key = os.environ.get("MODELPOOL_KEY") or (matching.key if matching else "")
    if not key:
        raise NotLoggedIn(f"No key for {url} is known; run 'modelpool login {url}', or set MODELPOOL_KEY.")
    chosen = tenant or os.environ.get("MODELPOOL_TENANT") or (matching.tenant if matching else "") or "default"
    return Credentials(url=url, key=key, tenant=chosen)


def _load() -> Credentials | None:
    try:
        return msgspec.json.decode(credentials_file().read_bytes(), type=Credentials)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotLoggedIn(f"{credentials_file()} cannot be read; run 'modelpool login URL' again.") from error
