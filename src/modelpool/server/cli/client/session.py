"""Options that every client command has, and the connection they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelpool.server.cli.client import credentials

if TYPE_CHECKING:
    from modelpool.server.cli.client.connection import Connection

TenantOption = Annotated[
    str | None,
    typer.Option("--tenant", envvar="MODELPOOL_TENANT", help="The tenant.  [default: the key's]", show_default=False),
]
ModelArgument = Annotated[str, typer.Argument(help="The model's name.", show_default=False)]


def connect(tenant: str | None = None) -> Connection:
    """Open a connection with what is known; httpx is imported only now, for ``--help`` should not wait for it."""
    from modelpool.server.cli.client.connection import Connection

    return Connection(credentials.find(tenant=tenant))
