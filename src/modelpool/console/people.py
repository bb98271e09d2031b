"""Tenants, members, keys, people and the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import display

from modelpool.console.formpage import form_page
from modelpool.console.forms import KeyForm, MemberForm, TenantForm, UserForm
from modelpool.console.scoping import ScopedAdmin, actor_for, operates, post_action, signed_in
from modelpool.core.errors import ModelpoolError
from modelpool.tenants import services
from modelpool.tenants.membership import tenants_where
from modelpool.tenants.models import APIKey, AuditEvent, Member, Tenant, User
from modelpool.tenants.roles import Permission, Role


class TenantAdmin(ScopedAdmin):
    """Operators make and change tenants; a tenant's admin looks at their own."""

    view_permission = Permission.ADMINISTER
    form = TenantForm
    list_display = ("name", "display_name", "shown_state", "store", "created_at")
    search_fields = ("name", "display_name")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        """Return the tenants that the person administers."""
        return tenants_where(signed_in(request), Permission.ADMINISTER)

    def tenant_of(self, obj: Tenant) -> Tenant:
        """Return the row itself."""
        return obj

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Operators make tenants."""
        return operates(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators change tenants."""
        return operates(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A tenant keeps its name."""
        return ("name",) if obj else ()

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show Django's own form here: a tenant is a plain row. What the service refuses is told on the form's page."""
        try:
            response: HttpResponse = ModelAdmin.changeform_view(self, request, object_id, form_url, extra_context)
        except ModelpoolError as error:
            messages.error(request, str(error))
            return redirect(request.path)
        return response

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        """Make or change the tenant through the service."""
        values = {name: form.cleaned_data[name] for name in form.changed_data if name != "name"}
        if change:
            services.update_tenant(obj, actor=actor_for(request), **values)
            return
        made = services.create_tenant(obj.name, actor=actor_for(request), **values)
        obj.pk, obj._state.adding = made.pk, False

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing: the service has written the audit trail."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing: the service has written the audit trail."""

    @display(description="State", label={"active": "success", "suspended": "danger"})
    def shown_state(self, tenant: Tenant) -> str:
        """Say whether it is suspended."""
        return "active" if tenant.is_active else "suspended"


class MemberAdmin(ScopedAdmin):
    """Who has which role in which tenant."""

    view_permission = Permission.ADMINISTER
    page_template = "console/member.html"
    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role",)
    search_fields = ("user__username", "tenant__name")
    list_select_related = ("user", "tenant")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A tenant's admin gives roles."""
        return self.has_module_permission(request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Give a person a role, or change it."""

        def save(form: MemberForm) -> HttpResponse:
            data = form.cleaned_data
            services.set_member(data["tenant"], user=data["username"], role=data["role"], actor=actor_for(request))
            messages.success(request, f"{data['username']} is now {data['role']} in {data['tenant']}.")
            return redirect("admin:tenants_member_changelist")

        return form_page(
            request, site=self.admin_site, opts=self.opts, form_class=MemberForm, title="Add a member", save=save
        )

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """Take a person out of the tenant."""
        return {"remove": self.remove}

    @post_action(Permission.ADMINISTER)
    def remove(self, request: HttpRequest, member: Member) -> HttpResponse:
        """Take the person out of the tenant."""
        services.remove_member(member.tenant, user=member.user, actor=actor_for(request))
        messages.success(request, f"{member.user} is no longer in {member.tenant}.")
        return redirect("admin:tenants_member_changelist")


class KeyAdmin(ScopedAdmin):
    """Keys of programs; the secret is shown once, when it is made."""

    view_permission = Permission.ADMINISTER
    page_template = "console/key.html"
    list_display = ("shown_prefix", "name", "tenant", "role", "shown_state", "expires_at", "last_used_at", "created_at")
    list_filter = ("role",)
    search_fields = ("prefix", "name", "tenant__name")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[APIKey]:
        """Return the keys of the person's tenants; an operator sees the installation's as well."""
        visible = Q(tenant__in=tenants_where(signed_in(request), Permission.ADMINISTER))
        if operates(request):
            visible |= Q(tenant=None)
        return APIKey.unscoped.filter(visible).select_related("tenant")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An operator's key is an operator's to see."""
        if obj is not None and obj.tenant is None:
            return operates(request)
        return super().has_view_permission(request, obj)

    def may(self, request: HttpRequest, permission: Permission, obj: APIKey) -> bool:
        """An operator's key is an operator's to revoke."""
        return operates(request) if obj.tenant is None else super().may(request, permission, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A tenant's admin makes keys."""
        return self.has_module_permission(request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Make a key and show its secret, this once."""

        def save(form: KeyForm) -> HttpResponse:
            key, secret = services.create_key(actor=actor_for(request), **form.cleaned_data)
            context = {
                **self.admin_site.each_context(request),
                "title": "Key created",
                "opts": self.opts,
                "key": key,
                "secret": secret,
            }
            response = TemplateResponse(request, "console/key_created.html", context)
            response["Cache-Control"] = "no-store"
            return response

        return form_page(request, site=self.admin_site, opts=self.opts, form_class=KeyForm, title="New key", save=save)

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """Revoke the key."""
        return {"revoke": self.revoke}

    @post_action(Permission.ADMINISTER)
    def revoke(self, request: HttpRequest, key: APIKey) -> None:
        """Revoke the key; programs that use it are refused within a second."""
        services.revoke_key(key.pk, tenant=key.tenant, actor=actor_for(request))
        messages.success(request, f"{key} is revoked.")

    @display(description="Key", ordering="prefix")
    def shown_prefix(self, key: APIKey) -> str:
        """Show the recognisable beginning."""
        return str(key)

    @display(description="State", label={"valid": "success", "revoked": "danger", "expired": "warning"})
    def shown_state(self, key: APIKey) -> str:
        """Say whether it still opens anything."""
        if key.revoked_at:
            return "revoked"
        return "expired" if key.expires_at and key.expires_at <= timezone.now() else "valid"


class UserAdmin(ScopedAdmin):
    """People who sign in; for operators."""

    page_template = "console/user.html"
    list_display = ("username", "email", "shown_role", "is_active", "last_login")
    search_fields = ("username", "email")
    ordering = ("username",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return everyone, to operators."""
        return User.objects.all() if operates(request) else User.objects.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        """People are an operator's affair."""
        return operates(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """People are an operator's affair."""
        return operates(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Operators add people."""
        return operates(request)

    def may(self, request: HttpRequest, permission: Permission, obj: User) -> bool:
        """People are an operator's affair."""
        return operates(request)

    def tenant_of(self, obj: User) -> Tenant:
        """A person has no tenant of their own; pages of people show none."""
        return Tenant(name="")

    def page_context(self, request: HttpRequest, obj: User) -> dict[str, Any]:
        """Show the person's roles."""
        return {"members": Member.unscoped.filter(user=obj).select_related("tenant").order_by("tenant__name")}

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Add a person."""

        def save(form: UserForm) -> HttpResponse:
            data = form.cleaned_data
            services.create_user(data.pop("username"), actor=actor_for(request), **data)
            messages.success(request, "Added. Give them a role under Members.")
            return redirect("admin:tenants_user_changelist")

        return form_page(
            request, site=self.admin_site, opts=self.opts, form_class=UserForm, title="Add a person", save=save
        )

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """Let in or lock out."""
        return {"toggle": self.toggle}

    @post_action(Permission.OPERATE)
    def toggle(self, request: HttpRequest, person: User) -> None:
        """Lock the person out, or let them in again."""
        services.set_user_active(person, is_active=not person.is_active, actor=actor_for(request))

    @display(description="Role", label={Role.OPERATOR.value: "primary"})
    def shown_role(self, person: User) -> str:
        """Say whether they run the installation."""
        return Role.OPERATOR.value if person.is_superuser else "member"


class AuditAdmin(ScopedAdmin):
    """Who changed what."""

    view_permission = Permission.ADMINISTER
    page_template = "console/audit_event.html"
    list_display = ("at", "tenant_name", "actor_label", "action", "target", "outcome")
    list_filter: ClassVar = ("action", "outcome")
    search_fields = ("target", "actor_label", "tenant_name", "request_id")
    ordering = ("-id",)
    list_display_links = ("at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        """Return what happened in the person's tenants; an operator sees the installation's as well."""
        if operates(request):
            return AuditEvent.objects.all()
        return AuditEvent.objects.filter(
            tenant_id__in=tenants_where(signed_in(request), Permission.ADMINISTER).values("pk")
        )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see the list may see a row of it; the list is filtered."""
        return self.has_module_permission(request)

    def tenant_of(self, obj: AuditEvent) -> Tenant:
        """Return the tenant as the trail names it; it may be gone."""
        return Tenant(name=obj.tenant_name)
