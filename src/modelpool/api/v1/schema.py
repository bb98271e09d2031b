"""The OpenAPI document of version 1."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema


def build_schema() -> dict[str, Any]:
    """Return the document; raise when it is not valid OpenAPI 3.1."""
    generator = SchemaGenerator(urlconf="modelpool.api.v1.described")  # type: ignore[no-untyped-call]
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


def schema_as_json() -> bytes:
    """Return it as text that does not change from run to run."""
    return json.dumps(build_schema(), indent=2, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n"


def check_schema() -> None:
    """Raise when the document is not valid against the specification's own schema."""
    validate_schema(build_schema())  # type: ignore[no-untyped-call]
