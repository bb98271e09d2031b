"""An address that shows a form and takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from modelpool.console.site import Routed
from modelpool.core.errors import InvalidField, ModelpoolError

Result = TypeVar("Result")


def by_method(*, get: Routed, post: Routed) -> Routed:
    """Return a view that hands POST to ``post`` and anything else to ``get``, which refuses what it does not know."""

    def routed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return (post if request.method == "POST" else get)(request, *args, **kwargs)

    return routed


def attempt(form: forms.BaseForm, act: Callable[[dict[str, Any]], Result]) -> Result | None:
    """Call ``act`` with what was typed into a valid form; what it refuses becomes a complaint of the form.

    Returns what ``act`` returned, which is not ``None``, or ``None`` when there are complaints.
    """
    if not form.is_valid():
        return None
    try:
        return act(form.cleaned_data)
    except InvalidField as error:
        for complaint in error.errors:
            form.add_error(complaint.field if complaint.field in form.fields else None, complaint.detail)
    except ModelpoolError as error:
        form.add_error(None, str(error))
    return None
