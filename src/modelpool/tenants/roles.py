"""Roles, and what each may do. One table for keys, people, the API and the console."""

from __future__ import annotations

from enum import StrEnum

from django.db.models import TextChoices


class Permission(StrEnum):
    """What a route may require. ``PUBLIC`` routes need no key and show nothing of any tenant."""

    PUBLIC = "public"
    ANY = "any"  # any valid key or session
    VIEW = "view"  # read metadata, metrics, jobs, datasets' descriptions
    PREDICT = "predict"
    DEVELOP = "develop"  # train, upload, download, activate, alias, delete versions and models
    ADMINISTER = "administer"  # keys, members, the tenant's policies
    OPERATE = "operate"  # the installation: create and delete tenants, quotas, everything in every tenant


class Role(TextChoices):
    """A member's or key's role in one tenant; ``operator`` is of the installation and has no tenant."""

    VIEWER = "viewer", "Viewer"
    PREDICTOR = "predictor", "Predictor"
    SCIENTIST = "scientist", "Scientist"
    ADMIN = "admin", "Admin"
    OPERATOR = "operator", "Operator"


TENANT_ROLES = (Role.VIEWER, Role.PREDICTOR, Role.SCIENTIST, Role.ADMIN)

_VIEWER = frozenset({Permission.PUBLIC, Permission.ANY, Permission.VIEW})
_PREDICTOR = _VIEWER | {Permission.PREDICT}
_SCIENTIST = _PREDICTOR | {Permission.DEVELOP}
_ADMIN = _SCIENTIST | {Permission.ADMINISTER}

GRANTS: dict[str, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.PREDICTOR: _PREDICTOR,
    Role.SCIENTIST: _SCIENTIST,
    Role.ADMIN: _ADMIN,
    Role.OPERATOR: _ADMIN | {Permission.OPERATE},
}


def role_allows(role: str, permission: Permission) -> bool:
    """Say whether ``role`` grants ``permission``; an unknown role grants nothing."""
    return permission in GRANTS.get(role, frozenset())
