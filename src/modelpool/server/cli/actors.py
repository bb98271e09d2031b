"""Whom the audit trail names for changes made on the server itself."""

from __future__ import annotations

import getpass

from modelpool.tenants.actors import Actor


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


CLI = Actor(kind="system", id="cli", label=f"cli ({_login()})")
