"""The demo's tenant, operator and keys, and the file that keeps them: ``demo.json`` in the home folder, mode 0600."""

from __future__ import annotations

import logging
import os
import secrets

import msgspec

from modelpool import conf

TENANT = "demo"
USER = "demo"


class Access(msgspec.Struct, frozen=True):
    """How to get in: a person for the console, a key to predict, a key to train."""

    user: str
    password: str
    predictor_key: str
    scientist_key: str


def load_access(home: conf.Home) -> Access | None:
    """Return what an earlier start made, ``None`` where there is nothing whole."""
    try:
        return msgspec.json.decode((home.path / "demo.json").read_bytes(), type=Access)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def make_access(home: conf.Home) -> Access:
    """Create tenant, operator and keys where they are missing, replace what is no longer known, and keep it."""
    from modelpool.server.processes.startup import set_up_django

    set_up_django()
    logging.disable(logging.WARNING)
    known = load_access(home)
    password = known.password if known is not None else secrets.token_urlsafe(18)
    keys = _make_rows(password)
    access = Access(user=USER, password=password, predictor_key=keys["predictor"], scientist_key=keys["scientist"])
    _write(home, access)
    return access


def _make_rows(password: str) -> dict[str, str]:
    from modelpool.tenants import services
    from modelpool.tenants.actors import SYSTEM
    from modelpool.tenants.models import Tenant, User

    tenant = Tenant.objects.filter(name=TENANT).first()
    tenant = tenant or services.create_tenant(TENANT, actor=SYSTEM, display_name="Demo")
    user = User.objects.filter(username=USER).first()
    if user is None:
        services.create_user(USER, password=password, actor=SYSTEM, is_operator=True)
    else:
        services.set_password(user, password=password, actor=SYSTEM)
    for key in services.keys_of(tenant).filter(name="demo", revoked_at=None):
        services.revoke_key(key.pk, tenant=tenant, actor=SYSTEM)
    roles = ("predictor", "scientist")
    return {role: services.create_key(tenant=tenant, role=role, actor=SYSTEM, name="demo")[1] for role in roles}


def _write(home: conf.Home, access: Access) -> None:
    path = home.path / "demo.json"
    private = path.with_name(f".demo.{secrets.token_hex(4)}")
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(access), indent=2))
    private.replace(path)
