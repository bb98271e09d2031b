"""The description of the API: routes declare structs, and one schema document comes out of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from modelpool.core.problems import MEDIA_TYPE, Problem
from modelpool.http.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Listing

F = TypeVar("F", bound=Callable[..., Any])

BINARY = {"type": "string", "format": "binary"}
_STRUCTS: dict[str, Any] = {"Problem": Problem}
_REFERENCE = "#/components/schemas/{name}"

_IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The same key and body again get the first answer and have no effect of their own; kept a day.",
)


class KeyOrSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How :class:`~modelpool.http.authentication.KeyOrSession` is described."""

    target_class = "modelpool.http.authentication.KeyOrSession"
    name = ["key", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return both ways: a key, or a browser's session."""
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "mp_…", "description": "`Authorization: Bearer mp_…`"},
            {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "With the header `X-CSRFToken`."},
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """Say that one of both is enough."""
        return [{"key": []}, {"session": []}]


def reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return a reference to the struct, which becomes a component of the document."""
    _STRUCTS[kind.__name__] = kind
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def any_of(*kinds: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a body that may be any one of the structs; their fields tell which it is."""
    return {"anyOf": [reference(kind) for kind in kinds]}


def page_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a page of a list."""
    link = {"type": ["string", "null"], "format": "uri"}
    return {
        "type": "object",
        "required": ["results", "next", "previous"],
        "properties": {"results": {"type": "array", "items": reference(kind)}, "next": link, "previous": link},
    }


def form(properties: Mapping[str, Any], *, required: Sequence[str]) -> dict[str, Any]:
    """Return the schema of a ``multipart/form-data`` body."""
    return {"type": "object", "properties": dict(properties), "required": list(required), "additionalProperties": False}


def describe(
    summary: str,
    *,
    tag: str,
    body: type[msgspec.Struct] | Mapping[str, Any] | None = None,
    answer: type[msgspec.Struct] | Mapping[str, Any] | None = None,
    status: int = 200,
    listing: Listing | None = None,
    page: type[msgspec.Struct] | None = None,
    parameters: Sequence[OpenApiParameter] = (),
    answers: Mapping[Any, Any] | None = None,
    once: bool = False,
) -> Callable[[F], F]:
    """Describe a method of a view.

    ``body`` and ``answer`` are structs, or schemas by media type; ``page`` with ``listing`` stands for a paged list;
    ``once`` says that ``Idempotency-Key`` is honoured; ``answers`` adds further ones by status, or status and type.
    """
    found = page_of(page) if page is not None else answer
    own = {} if found is None and answers else _responses(status, found)
    responses: dict[Any, Any] = {**own, **(answers or {}), ("default", MEDIA_TYPE): _problem()}
    every = [*parameters, *(_parameters_of(listing) if listing else ()), *([_IDEMPOTENCY_KEY] if once else ())]

    def decorate(method: F) -> F:
        described: F = extend_schema(
            operation_id=_operation_id(method),
            summary=summary,
            tags=[tag],
            request=_request(body),
            responses=responses,
            parameters=every,
        )(method)
        return described

    return decorate


def add_structs(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Put the structs that routes refer to among the components: a hook of drf-spectacular."""
    _, components = msgspec.json.schema_components(list(_STRUCTS.values()), ref_template=_REFERENCE)
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(components)
    result["components"]["schemas"] = dict(sorted(schemas.items()))
    return result


def _operation_id(method: Callable[..., Any]) -> str:
    """Return ``version_get`` for ``VersionView.get``: unique, and stable while classes keep their names."""
    view, _, verb = method.__qualname__.partition(".")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", view.removesuffix("View")).lower() + "_" + verb


def _request(body: Any) -> Any:
    if body is None:
        return None
    if isinstance(body, type):
        return {"application/json": reference(body)}
    return {media: reference(kind) if isinstance(kind, type) else kind for media, kind in body.items()}


def _responses(status: int, answer: Any) -> dict[Any, Any]:
    if answer is None:
        return {status: OpenApiResponse(description="Done.")}
    if isinstance(answer, type):
        return {(status, "application/json"): reference(answer)}
    return {(status, "application/json"): answer}


def _problem() -> dict[str, str]:
    return reference(Problem)


def _parameters_of(listing: Listing) -> list[OpenApiParameter]:
    orders = [sign + name for name in listing.orders for sign in ("", "-")]
    described = f"Default: `{listing.default}`."
    ordering = {"type": "string"} if listing.prepare else {"type": "string", "enum": orders}
    own = [
        OpenApiParameter("cursor", str, description="From `next` or `previous` of a page."),
        OpenApiParameter(
            "page_size", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
        ),
        OpenApiParameter("ordering", ordering, description=described),
    ]
    filters = [
        OpenApiParameter(name, one.schema or str, description=f"Only those with it: {one.wants}.")
        for name, one in listing.filters.items()
    ]
    return own + filters
