"""Who changed what in a tenant."""

from __future__ import annotations

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from modelpool.console.pages import TenantPage, tenant_page
from modelpool.console.trail import OF_TENANT, Trail, export_trail, show_trail
from modelpool.tenants.models import AuditEvent
from modelpool.tenants.roles import Permission


@tenant_page(Permission.ADMINISTER)
def audit(page: TenantPage) -> HttpResponse:
    """Show a page of the trail."""
    return show_trail(_trail(page))


@tenant_page(Permission.ADMINISTER)
def export_audit(page: TenantPage, format: str) -> HttpResponseBase:
    """Send the rows that are asked for as a file."""
    return export_trail(_trail(page), format)


def _trail(page: TenantPage) -> Trail:
    rows = AuditEvent.objects.filter(tenant_id=page.tenant.pk)
    return Trail(page, rows, OF_TENANT, page.url("audit"), f"audit-{page.tenant.name}")
