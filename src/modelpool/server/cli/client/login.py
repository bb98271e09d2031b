"""``modelpool login`` and ``whoami``."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated

import typer

from modelpool.server.cli.client.credentials import Credentials, save
from modelpool.server.cli.client.failures import NotLoggedIn
from modelpool.server.cli.client.session import TenantOption, connect
from modelpool.server.cli.homes import JSONOption
from modelpool.server.cli.output import print_fields, tell


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("login")(login)
    app.command("whoami")(who_am_i)


def login(
    url: Annotated[str, typer.Argument(help="Where the server is, such as http://127.0.0.1:8000.")],
    key: Annotated[str | None, typer.Option(envvar="MODELPOOL_KEY", help="The key.", show_default="asked for")] = None,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the key from standard input.")] = False,
    tenant: TenantOption = None,
) -> None:
    """Check a key and save it for the other commands, readable by you alone."""
    from modelpool.server.cli.client.connection import Connection

    url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    secret = _read_key(key, from_stdin=key_stdin)
    with Connection(Credentials(url=url, key=secret)) as connection:
        me = connection.get("me")
    chosen = tenant or me.get("tenant") or "default"
    path = save(Credentials(url=url, key=secret, tenant=chosen))
    tell(f"Logged in to {url} as {me.get('role') or me['name']}, tenant {chosen!r}. Saved in {path}.")


def who_am_i(as_json: JSONOption = False) -> None:
    """Show who the key stands for."""
    with connect() as connection:
        me = connection.get("me")
        print_fields({"url": connection.url, "working_in": connection.tenant} | me, as_json=as_json)


def _read_key(key: str | None, *, from_stdin: bool) -> str:
    if from_stdin:
        key = sys.stdin.readline()
    elif key is None and sys.stdin.isatty():
        key = getpass.getpass("Key: ")
    if not key or not key.strip():
        raise NotLoggedIn("No key was given; use --key-stdin, --key or MODELPOOL_KEY.")
    os.environ.pop("MODELPOOL_KEY", None)
    return key.strip()
