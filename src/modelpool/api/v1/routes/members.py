"""``/tenants/{tenant}/members``, ``/tenants/{tenant}/audit`` and ``/me``."""

from __future__ import annotations

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.members import (
    AuditDocument,
    MeDocument,
    MemberDocument,
    MemberRole,
    present_audit,
    present_me,
    present_member,
    present_members,
)
from modelpool.core.errors import MemberNotFound
from modelpool.http.filters import moment, one_of, text
from modelpool.http.openapi import describe
from modelpool.http.paging import Listing, paginate
from modelpool.http.views import ApiView, no_content
from modelpool.tenants.audit import OUTCOMES
from modelpool.tenants.membership import roles_of
from modelpool.tenants.models import AuditEvent, Member, User
from modelpool.tenants.roles import TENANT_ROLES, Permission
from modelpool.tenants.services import remove_member, set_member

MEMBERS = Listing(
    orders={"created_at": "created_at"},
    default="created_at",
    filters={"role": one_of("role", [role.value for role in TENANT_ROLES])},
)
AUDIT = Listing(
    orders={"id": "id"},
    default="-id",
    filters={
        "action": text("action"),
        "actor": text("actor_label"),
        "outcome": one_of("outcome", list(OUTCOMES)),
        "since": moment("at__gte"),
        "until": moment("at__lt"),
    },
)


class MembersView(ApiView):
    """The people of a tenant."""

    permissions = {"GET": Permission.ADMINISTER}

    @describe("List members", tag="members", listing=MEMBERS, page=MemberDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return a page."""
        rows = Member.objects.for_tenant(self.tenant).select_related("user")
        return Response(paginate(self.raw_request, rows, listing=MEMBERS, present=present_members))


class MemberView(ApiView):
    """One person in a tenant."""

    permissions = {
        "GET": Permission.ADMINISTER,
        "PUT": Permission.ADMINISTER,
        "DELETE": Permission.ADMINISTER,
    }

    @describe("Show a member", tag="members", answer=MemberDocument)
    def get(self, request: Request, tenant: str, user: str) -> Response:
        """Return name and role."""
        member = Member.objects.for_tenant(self.tenant).select_related("user").filter(user__username=user).first()
        if member is None:
            raise MemberNotFound(user)
        return Response(present_member(member))

    @describe("Give a person a role", tag="members", body=MemberRole, answer=MemberDocument)
    def put(self, request: Request, tenant: str, user: str) -> Response:
        """Add the person, or change the role."""
        role = self.read(MemberRole).role
        return Response(present_member(set_member(self.tenant, user=_person(user), role=role, actor=self.actor)))

    @describe("Take a person out of the tenant", tag="members", status=204)
    def delete(self, request: Request, tenant: str, user: str) -> Response:
        """Remove the membership; the account stays."""
        remove_member(self.tenant, user=_person(user), actor=self.actor)
        return no_content()


class AuditView(ApiView):
    """Who changed what in a tenant."""

    permissions = {"GET": Permission.ADMINISTER}

    @describe("List the audit trail", tag="members", listing=AUDIT, page=AuditDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return a page, newest first."""
        rows = AuditEvent.objects.filter(tenant_id=self.tenant.pk)
        return Response(paginate(self.raw_request, rows, listing=AUDIT, present=present_audit))


class MeView(ApiView):
    """The credential itself."""

    permissions = {"GET": Permission.ANY}

    @describe("Who am I?", tag="members", answer=MeDocument)
    def get(self, request: Request) -> Response:
        """Return kind, role and tenants."""
        memberships = roles_of(self.caller.user) if self.caller.user else []
        return Response(present_me(self.caller, memberships=memberships))


def _person(username: str) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        raise MemberNotFound(username)
    return user


urlpatterns = [
    path("tenants/<str:tenant>/members", MembersView.as_view(), name="members"),
    path("tenants/<str:tenant>/members/<str:user>", MemberView.as_view(), name="member"),
    path("tenants/<str:tenant>/audit", AuditView.as_view(), name="audit"),
    path("me", MeView.as_view(), name="me"),
]
