"""Addresses of a pool's pages, and what a form on them sends."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse


def address(name: str, pool: Any, *more: object) -> str:
    """Return the address of a page of the pool's model."""
    return reverse(f"console:{name}", args=[pool.tenant.name, pool.model.name, *more])


def send(client: Client, name: str, pool: Any, /, *more: object, **data: Any) -> Any:
    """Send a form, and follow to the page that it leads to."""
    return client.post(address(name, pool, *more), data, follow=True)


def active_number(pool: Any) -> int | None:
    """Return which version answers now."""
    pool.model.refresh_from_db()
    version = pool.model.active_version
    return None if version is None else int(version.number)
