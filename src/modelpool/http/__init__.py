"""Shared by all wires: authentication, errors, paging, idempotency."""
