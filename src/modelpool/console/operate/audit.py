"""Who changed what, anywhere."""

from __future__ import annotations

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from modelpool.console.pages import Page, operator_page
from modelpool.console.trail import OF_ALL, Trail, export_trail, show_trail
from modelpool.tenants.models import AuditEvent


@operator_page
def audit(page: Page) -> HttpResponse:
    """Show a page of the trail."""
    return show_trail(_trail(page))


@operator_page
def export_audit(page: Page, format: str) -> HttpResponseBase:
    """Send the rows that are asked for as a file."""
    return export_trail(_trail(page), format)


def _trail(page: Page) -> Trail:
    return Trail(page, AuditEvent.objects.all(), OF_ALL, reverse("console:operate-audit"), "audit")
