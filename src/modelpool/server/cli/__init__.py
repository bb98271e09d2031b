"""The command ``modelpool``. Commands for the server import Django when they run, commands for a client never do."""

from __future__ import annotations

from modelpool.server.cli.app import main

__all__ = ["main"]
