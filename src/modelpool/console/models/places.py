"""From an address to a row: what is not there for the tenant of the page is 404."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import Http404

from modelpool.console.pages import TenantPage
from modelpool.core.errors import InvalidField, ModelNotFound
from modelpool.registry import services
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.querysets import versions_of

_MOST_DIGITS = 9


def model_of(page: TenantPage, name: str) -> RegisteredModel:
    """Return the tenant's model with its active version, or 404."""
    try:
        return services.get_model(page.tenant, name)
    except ModelNotFound as error:
        raise Http404 from error


def version_stem(page: TenantPage, model: str) -> str:
    """Return what the addresses of all versions of a model begin with, up to their numbers: long tables need many."""
    return page.url("version", model, 0).removesuffix("0/")


def number_in(text: str) -> int | None:
    """Return the number of a version as it stands in an address or a form, ``None`` for anything else."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else None


def numbers_in(texts: Iterable[str], *, field: str = "v") -> list[int]:
    """Return the numbers in the order they are named, each once; raise :class:`InvalidField` for what is none."""
    found: list[int] = []
    for text in texts:
        number = number_in(text)
        if number is None:
            raise InvalidField(field, f"{text[:40]!r} is not the number of a version.")
        if number not in found:
            found.append(number)
    return found


def chosen_versions(model: RegisteredModel, numbers: list[int]) -> list[ModelVersion]:
    """Return those versions in that order, deleted ones left out, with everything known of them."""
    rows = {version.number: version for version in versions_of(model).filter(number__in=numbers)}
    return [rows[number] for number in numbers if number in rows]
