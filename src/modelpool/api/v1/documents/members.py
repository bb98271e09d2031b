"""Members and the audit trail of a tenant on the wire; who a credential is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec

from modelpool.http.bodies import Body
from modelpool.http.caller import Caller
from modelpool.tenants.models import AuditEvent, Member


class MemberRole(Body, frozen=True):
    """The role that a person is to have."""

    role: Literal["viewer", "predictor", "scientist", "admin"]


class MemberDocument(msgspec.Struct, frozen=True):
    """A person in a tenant."""

    user: str
    role: str
    created_at: datetime


class AuditDocument(msgspec.Struct, frozen=True):
    """One change, or one refusal, and who asked for it."""

    id: int
    at: datetime
    actor_kind: str
    actor_id: str
    actor: str
    action: str
    target: str
    outcome: str
    details: dict[str, Any]
    request_id: str


class MembershipDocument(msgspec.Struct, frozen=True):
    """A tenant of a person, and the role in it."""

    tenant: str
    role: str


class MeDocument(msgspec.Struct, frozen=True):
    """Who the credential stands for; ``tenant`` and ``role`` are a key's, ``memberships`` a person's."""

    kind: Literal["key", "user"]
    id: str
    name: str
    is_operator: bool
    tenant: str | None
    role: str | None
    expires_at: datetime | None
    memberships: list[MembershipDocument]


def present_member(member: Member) -> MemberDocument:
    """Return the member as it stands on the wire."""
    return MemberDocument(user=member.user.username, role=member.role, created_at=member.created_at)


def present_members(members: Iterable[Member]) -> list[MemberDocument]:
    """Return a list's rows."""
    return [present_member(member) for member in members]


def present_audit(events: Iterable[AuditEvent]) -> list[AuditDocument]:
    """Return a list's rows."""
    return [
        AuditDocument(
            id=event.id,
            at=event.at,
            actor_kind=event.actor_kind,
            actor_id=event.actor_id,
            actor=event.actor_label,
            action=event.action,
            target=event.target,
            outcome=event.outcome,
            details=event.details,
            request_id=event.request_id,
        )
        for event in events
    ]


def present_me(caller: Caller, *, memberships: list[tuple[str, str]]) -> MeDocument:
    """Return who the caller is."""
    actor, principal = caller.actor(), caller.principal
    return MeDocument(
        kind="key" if principal else "user",
        id=actor.id,
        name=actor.label,
        is_operator=caller.is_operator,
        tenant=principal.tenant_name if principal else None,
        role=principal.role if principal else None,
        expires_at=principal.expires_at if principal else None,
        memberships=[MembershipDocument(tenant=tenant, role=role) for tenant, role in memberships],
    )
