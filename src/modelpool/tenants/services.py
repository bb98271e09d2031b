"""Every change to tenants, members and keys: one transaction each, with its audit row and its feed entry.

Changes that name a tenant lock its row first and take the feed's lock last, an order that cannot dead-lock: PostgreSQL
looks at foreign keys when a transaction ends, and would then wait for whoever deletes the tenant meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from modelpool import conf
from modelpool.core.errors import Conflict, InvalidField, KeyNotFound, MemberNotFound, NameTaken, TenantNotFound
from modelpool.core.names import check_name
from modelpool.core.policies import parse_policy
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.changes import publish_change
from modelpool.tenants.keys import PREFIX_CHARS, digest_of, make_secret
from modelpool.tenants.models import APIKey, Change, Member, Tenant, User
from modelpool.tenants.roles import TENANT_ROLES, Role

DEFAULT_TENANT = "default"
MAX_LABEL_CHARS = 200

MOST_DATASET_DAYS = 36_500
_QUOTAS = {
    "max_storage_bytes": 2**63 - 1,
    "max_models": 2**31 - 1,
    "max_queued_jobs": 2**31 - 1,
    "dataset_days": MOST_DATASET_DAYS,
}
LEAST_RATE, MOST_RATE, MOST_BURST = 0.001, 1_000_000, 10_000_000
"""Predictions of a tenant per second, and at once."""

_RATES = {"predictions_per_second": (LEAST_RATE, MOST_RATE), "burst": (1, MOST_BURST)}
_TENANT_FIELDS = frozenset({"display_name", "is_active", "store", "default_policy", *_QUOTAS, *_RATES})


def get_tenant(name: str) -> Tenant:
    """Return the tenant, suspended or not, or raise :class:`TenantNotFound`."""
    tenant = Tenant.objects.filter(name=name).first()
    if tenant is None:
        raise TenantNotFound(name)
    return tenant


def create_tenant(name: str, *, actor: Actor, **fields: Any) -> Tenant:
    """Create a tenant; raise :class:`NameTaken` when the name is in use."""
    check_name(name)
    fields = _check_tenant_fields(fields)
    try:
        with transaction.atomic():
            tenant = Tenant.objects.create(name=name, **fields)
            audit.record("tenant.create", actor=actor, tenant=tenant, target=name)
            _publish_tenant(tenant)
    except IntegrityError as error:
        raise NameTaken("tenant", name) from error
    return tenant


def update_tenant(tenant: Tenant, *, actor: Actor, **fields: Any) -> Tenant:
    """Change quotas, store, policy or suspension of a tenant; what is as it was is not written."""
    checked = _check_tenant_fields(fields)
    with transaction.atomic():
        row = _lock(tenant)
        before = {name: getattr(row, name) for name in checked if getattr(row, name) != checked[name]}
        if not before:
            return row
        after = {name: checked[name] for name in before}
        for name, value in after.items():
            setattr(row, name, value)
        row.save(update_fields=list(after))
        details = {"before": before, "after": after}
        audit.record("tenant.update", actor=actor, tenant=row, target=row.name, details=details)
        _publish_tenant(row)
    return row


def delete_tenant(tenant: Tenant, *, actor: Actor, check: Callable[[Tenant], None] | None = None) -> None:
    """Delete a tenant, its keys, members and rows; the tenant ``default`` cannot be deleted.

    ``check`` is called with the tenant locked, when nobody can add anything to it, and raises for one that may not be
    deleted. The bytes of its artifacts become orphans that the sweep removes.
    """
    if tenant.name == DEFAULT_TENANT:
        raise Conflict("The tenant 'default' cannot be deleted; suspend it with is_active=false.")
    with transaction.atomic():
        row = _lock(tenant, for_deletion=True)
        if check is not None:
            check(row)
        audit.record("tenant.delete", actor=actor, tenant=row, target=row.name)
        Tenant.objects.filter(pk=row.pk).delete()
        _publish_tenant(row)


def create_key(
    *, tenant: Tenant | None, role: str, actor: Actor, name: str = "", expires_in_days: float | None = None
) -> tuple[APIKey, str]:
    """Create a key and return it with its secret, which is shown this once and cannot be had again."""
    allowed = [Role.OPERATOR] if tenant is None else list(TENANT_ROLES)
    if role not in allowed:
        raise InvalidField("role", f"{role!r} is not one of {', '.join(allowed)}.")
    if expires_in_days is not None and not 0 < expires_in_days <= 36500:
        raise InvalidField("expires_in_days", "must be more than 0 and at most 36500.")
    _check_label("name", name)
    secret = make_secret()
    with transaction.atomic():
        if tenant is not None:
            _lock(tenant)
        key = APIKey.objects.create(
            tenant=tenant,
            name=name,
            role=role,
            prefix=secret[:PREFIX_CHARS],
            digest=digest_of(secret),
            created_by=actor.label[:200],
            expires_at=None if expires_in_days is None else timezone.now() + timedelta(days=expires_in_days),
        )
        audit.record(
            "key.create", actor=actor, tenant=tenant, target=key.prefix, details={"id": str(key.pk), "role": role}
        )
        _publish_key(key)
    return key, secret


def revoke_key(key_id: UUID | str, *, tenant: Tenant | None, actor: Actor) -> APIKey:
    """Revoke a key of the tenant (an operator's key when ``tenant`` is ``None``); revoking twice changes nothing."""
    with transaction.atomic():
        key: APIKey | None = keys_of(tenant).select_for_update().filter(pk=key_id).first()
        if key is None:
            raise KeyNotFound(str(key_id))
        if key.revoked_at is None:
            key.revoked_at = timezone.now()
            key.save(update_fields=["revoked_at"])
            audit.record("key.revoke", actor=actor, tenant=tenant, target=key.prefix, details={"id": str(key.pk)})
            _publish_key(key)
    return key


def create_user(
    username: str, *, password: str | None, actor: Actor, is_operator: bool = False, email: str = ""
) -> User:
    """Create a person who can sign in to the console; the password must pass the configured validators.

    Without a password they cannot sign in until they chose one by a link of :mod:`modelpool.tenants.invitations`.
    """
    user = User(username=username, email=email, is_staff=True, is_superuser=is_operator)
    try:
        if password is not None:
            validate_password(password, user)
        user.full_clean(exclude=["password"], validate_unique=False)
    except ValidationError as error:
        raise InvalidField("user", " ".join(error.messages)) from error
    if password is None:
        user.set_unusable_password()
    else:
        user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
            audit.record("user.create", actor=actor, tenant=None, target=username, details={"operator": is_operator})
    except IntegrityError as error:
        raise NameTaken("user", username) from error
    return user


def get_user(username: str) -> User:
    """Return the person, or raise :class:`MemberNotFound`."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise MemberNotFound(username)
    return user


def set_password(user: User, *, password: str, actor: Actor) -> None:
    """Give a person a new password, which must pass the configured validators; their sessions end."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidField("password", " ".join(error.messages)) from error
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        audit.record("user.password", actor=actor, tenant=None, target=user.username)


def set_user_active(user: User, *, is_active: bool, actor: Actor) -> None:
    """Lock a person out, or let them in again; their sessions end with the next request."""
    if actor.kind == "user" and actor.id == str(user.pk) and not is_active:
        raise Conflict("You cannot lock yourself out; another operator can.")
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(is_active=is_active)
        audit.record("user.update", actor=actor, tenant=None, target=user.username, details={"is_active": is_active})


def set_operator(user: User, *, is_operator: bool, actor: Actor) -> None:
    """Let a person run the installation, or no longer; they keep their roles in tenants."""
    if actor.kind == "user" and actor.id == str(user.pk) and not is_operator:
        raise Conflict("You cannot take it from yourself; another operator can.")
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(is_superuser=is_operator)
        audit.record("user.update", actor=actor, tenant=None, target=user.username, details={"operator": is_operator})


def set_member(tenant: Tenant, *, user: User, role: str, actor: Actor) -> Member:
    """Give a person a role in the tenant, or change the role they have."""
    if role not in TENANT_ROLES:
        raise InvalidField("role", f"{role!r} is not one of {', '.join(TENANT_ROLES)}.")
    with transaction.atomic():
        _lock(tenant)
        known: Member | None = Member.objects.for_tenant(tenant).filter(user=user).first()
        if known is not None and known.role == role:
            return known
        member = known or Member(tenant=tenant, user=user)
        member.role = role
        member.save()
        audit.record("member.set", actor=actor, tenant=tenant, target=user.username, details={"role": role})
    return member


def remove_member(tenant: Tenant, *, user: User, actor: Actor) -> None:
    """Take a person out of the tenant."""
    with transaction.atomic():
        deleted, _ = Member.objects.for_tenant(tenant).filter(user=user).delete()
        if not deleted:
            raise MemberNotFound(user.username)
        audit.record("member.remove", actor=actor, tenant=tenant, target=user.username)


def keys_of(tenant: Tenant | None) -> Any:
    """Return the keys of a tenant, or the operators' keys when ``tenant`` is ``None``."""
    return APIKey.objects.for_tenant(tenant) if tenant else APIKey.unscoped.filter(tenant=None)


def _lock(tenant: Tenant, *, for_deletion: bool = False) -> Tenant:
    """Return the tenant's present row, locked until the transaction ends; rows that refer to it can still be added."""
    row = Tenant.objects.select_for_update(no_key=not for_deletion).filter(pk=tenant.pk).first()
    if row is None:
        raise TenantNotFound(tenant.name)
    return row


def _check_tenant_fields(fields: dict[str, Any]) -> dict[str, Any]:
    for name in fields.keys() - _TENANT_FIELDS:
        raise InvalidField(name, f"is not a field of a tenant; those are {', '.join(sorted(_TENANT_FIELDS))}.")
    stores = conf.settings().stores
    if "store" in fields and fields["store"] not in stores:
        raise InvalidField("store", f"{fields['store']!r} is not configured; stores are {', '.join(sorted(stores))}.")
    for name, most in _QUOTAS.items():
        value = fields.get(name)
        if value is not None and not 0 <= value <= most:
            raise InvalidField(name, f"must be from 0 to {most}.")
    for name, (least, greatest) in _RATES.items():
        rate = fields.get(name)
        if rate is not None and not least <= rate <= greatest:
            raise InvalidField(name, f"must be from {least} to {greatest}, or null for the installation's.")
    _check_label("display_name", fields.get("display_name", ""))
    if fields.get("default_policy", {}) == {}:  # left to the installation
        return fields
    return fields | {"default_policy": parse_policy(fields["default_policy"], field="default_policy").to_dict()}


def _check_label(field: str, text: str) -> None:
    """Refuse what PostgreSQL would not store."""
    if len(text) > MAX_LABEL_CHARS or "\0" in text:
        raise InvalidField(field, f"must be a text of at most {MAX_LABEL_CHARS} characters, without NUL.")


def _publish_tenant(tenant: Tenant) -> None:
    publish_change(Change.Kind.TENANT, ref=str(tenant.pk), tenant_id=tenant.pk)


def _publish_key(key: APIKey) -> None:
    publish_change(Change.Kind.KEY, ref=key.digest, tenant_id=key.tenant_id)
