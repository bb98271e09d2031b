"""Columns that Django has, faster."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from django.db import models

_decode = msgspec.json.Decoder().decode


class JSONField(models.JSONField):
    """Django's, read by msgspec: half of what a page of versions took was the standard library's decoder.

    To migrations it is Django's own, since the column is the same.
    """

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return what the text says; what is no text, or wants the decoder of the field, is left to Django."""
        if not isinstance(value, str) or self.decoder is not None:
            return super().from_db_value(value, expression, connection)
        try:
            return _decode(value)
        except msgspec.DecodeError:  # numbers of any length and the like, which the standard library takes
            return json.loads(value)

    def deconstruct(self) -> Any:
        """Name Django's class."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
