"""A page with one form, for things that are made by a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from modelpool.console.forms import PersonForm
from modelpool.console.scoping import signed_in
from modelpool.core.errors import ModelpoolError

F = TypeVar("F", bound=PersonForm)


def form_page(
    request: HttpRequest,
    *,
    site: AdminSite,
    opts: Any,
    form_class: type[F],
    title: str,
    save: Callable[[F], HttpResponse],
) -> HttpResponse:
    """Show the form; on a valid POST call ``save``, whose errors are shown above the form."""
    form = form_class(request.POST or None, user=signed_in(request))
    if request.method == "POST" and form.is_valid():
        try:
            return save(form)
        except ModelpoolError as error:
            messages.error(request, str(error))
    context = {**site.each_context(request), "title": title, "opts": opts, "form": form}
    return TemplateResponse(request, "console/form.html", context)
