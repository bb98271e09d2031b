"""``modelpool user``: the people who sign in to the console."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from modelpool.core.errors import InvalidField
from modelpool.server.cli.homes import HomeOption, JSONOption, use_django
from modelpool.server.cli.output import print_rows, tell

app = typer.Typer(help="People who sign in to the console (on the server, without a key).", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    tenant: Annotated[str | None, typer.Option(help="The tenant to work in.", show_default=False)] = None,
    role: Annotated[str | None, typer.Option(help="viewer, predictor, scientist or admin.", show_default=False)] = None,
    operator: Annotated[bool, typer.Option("--operator", help="Runs the installation.")] = False,
    email: Annotated[str, typer.Option(help="Address.")] = "",
    home: HomeOption = None,
) -> None:
    """Create a person, with a role in one tenant or as an operator."""
    if operator == (tenant is not None or role is not None):
        raise InvalidField("--tenant", "give either --tenant with --role, or --operator.")
    if not operator and (tenant is None or role is None):
        raise InvalidField("--role", "a member of a tenant needs both --tenant and --role.")
    use_django(home)
    from django.db import transaction

    from modelpool.server.cli.actors import CLI
    from modelpool.tenants import services

    owner = services.get_tenant(tenant) if tenant else None
    password = _read_password(from_stdin=password_stdin)
    with transaction.atomic():
        user = services.create_user(name, password=password, actor=CLI, is_operator=operator, email=email)
        if owner is not None:
            services.set_member(owner, user=user, role=str(role), actor=CLI)
    tell(f"Created {name!r}, {'an operator' if operator else f'{role} of {tenant!r}'}; sign in at /console/.")


@app.command("list")
def list_users(as_json: JSONOption = False, home: HomeOption = None) -> None:
    """List people and where they belong."""
    use_django(home)
    from modelpool.tenants.membership import roles_of
    from modelpool.tenants.models import User

    rows = [
        {
            "name": user.get_username(),
            "email": user.email,
            "active": user.is_active,
            "operator": user.is_operator,
            "roles": dict(roles_of(user)),
            "last_login": user.last_login,
        }
        for user in User.objects.order_by("username")
    ]
    print_rows(rows, columns=["name", "email", "active", "operator", "roles", "last_login"], as_json=as_json)


@app.command()
def password(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Give a person a new password."""
    use_django(home)
    from modelpool.server.cli.actors import CLI
    from modelpool.tenants import services

    services.set_password(services.get_user(name), password=_read_password(from_stdin=password_stdin), actor=CLI)
    tell(f"{name!r} has a new password.")


@app.command("sign-out")
def sign_out(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    home: HomeOption = None,
) -> None:
    """End all of a person's sessions; they may sign in again."""
    use_django(home)
    from modelpool.console.account import sessions
    from modelpool.server.cli.actors import CLI
    from modelpool.tenants import services

    count = sessions.end_sessions(services.get_user(name), actor=CLI)
    tell(f"{name!r}: {count} session{'' if count == 1 else 's'} ended.")


@app.command()
def unlock(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    home: HomeOption = None,
) -> None:
    """Forget a person's wrong passwords and codes, so that they need not wait to try again."""
    use_django(home)
    from modelpool.console.account import guesses
    from modelpool.tenants import services

    guesses.forget(services.get_user(name))
    tell(f"{name!r} may try again.")


@app.command("remove-second-factor")
def remove_second_factor(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    home: HomeOption = None,
) -> None:
    """Let a person sign in by the password alone, as when a phone was lost."""
    use_django(home)
    from modelpool.console.account import sessions
    from modelpool.server.cli.actors import CLI
    from modelpool.tenants import services

    had = sessions.remove_second_factor(services.get_user(name), actor=CLI)
    tell(f"{name!r} {'signs in by the password alone now' if had else 'has no second factor'}.")


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidField(
            "--password-stdin", "there is no terminal to ask at; pipe the password in with --password-stdin."
        )
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Again: "):
        raise InvalidField("password", "the two were not the same.")
    return first
