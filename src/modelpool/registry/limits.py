"""Limits of what people attach to models and versions, and the cleaning of what trainers attach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from modelpool.core.errors import InvalidField

MAX_TAGS = 100
MAX_TAG_KEY_CHARS = 250
MAX_TAG_VALUE_CHARS = 5000
MAX_TAGS_CHARS = 65_536
MAX_DESCRIPTION_CHARS = 20_000
MAX_METRICS = 1000
MAX_METRIC_NAME_CHARS = 250
MAX_PARAMS_BYTES = 262_144


def check_tags(tags: object, *, field: str = "tags") -> dict[str, str]:
    """Return the tags, a mapping of text to text; raise :class:`InvalidField` that names the one beyond a limit."""
    if not isinstance(tags, Mapping):
        raise InvalidField(field, "must be an object of texts.")
    if len(tags) > MAX_TAGS:
        raise InvalidField(field, f"has {len(tags)} entries; at most {MAX_TAGS} are kept.")
    checked = {
        _check_tag_key(key, field=field): _check_tag_value(value, field=f"{field}.{key}") for key, value in tags.items()
    }
    if sum(len(key) + len(value) for key, value in checked.items()) > MAX_TAGS_CHARS:
        raise InvalidField(field, f"is longer than {MAX_TAGS_CHARS} characters in all.")
    return checked


def check_description(text: object, *, field: str = "description") -> str:
    """Return the text; raise :class:`InvalidField` when it is too long or cannot be stored."""
    return _check_text(text, field=field, limit=MAX_DESCRIPTION_CHARS)


def check_metrics(metrics: object, *, field: str = "metrics") -> dict[str, float | None]:
    """Return metrics by name; what is not finite becomes ``None``: it was measured, and never wins."""
    if not isinstance(metrics, Mapping):
        raise InvalidField(field, "must be an object of numbers.")
    if len(metrics) > MAX_METRICS:
        raise InvalidField(field, f"has {len(metrics)} entries; at most {MAX_METRICS} are kept.")
    return {
        _check_metric_name(name, field=field): _check_number(value, field=f"{field}.{name}")
        for name, value in metrics.items()
    }


def check_params(params: object, *, field: str = "params") -> dict[str, Any]:
    """Return the parameters, a JSON object of at most :data:`MAX_PARAMS_BYTES`, cleaned."""
    if not isinstance(params, Mapping):
        raise InvalidField(field, "must be an object.")
    cleaned: dict[str, Any] = clean_json(params)
    if len(msgspec.json.encode(cleaned)) > MAX_PARAMS_BYTES:
        raise InvalidField(field, f"is longer than {MAX_PARAMS_BYTES} bytes as JSON.")
    return cleaned


def clean_json(value: Any, *, depth: int = 64) -> Any:
    """Return what a trainer attached as JSON that every database stores: NaN is null, no NUL, no lone surrogates."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return clean_text(value)
    if depth <= 0:
        return None
    if isinstance(value, Mapping):
        return {clean_text(str(key)): clean_json(item, depth=depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_json(item, depth=depth - 1) for item in value]
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """Return the text with what PostgreSQL cannot store replaced: NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _check_tag_key(key: object, *, field: str) -> str:
    if not _check_text(key, field=field, limit=MAX_TAG_KEY_CHARS):
        raise InvalidField(field, "has an empty key.")
    return str(key)


def _check_tag_value(value: object, *, field: str) -> str:
    return _check_text(value, field=field, limit=MAX_TAG_VALUE_CHARS)


def _check_metric_name(name: object, *, field: str) -> str:
    if not _check_text(name, field=field, limit=MAX_METRIC_NAME_CHARS):
        raise InvalidField(field, "has an empty name.")
    return str(name)


def _check_number(value: object, *, field: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidField(field, "must be a number.")
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError as error:
        raise InvalidField(field, "is too large a number.") from error


def _check_text(value: object, *, field: str, limit: int) -> str:
    if not isinstance(value, str):
        raise InvalidField(field, "must be a text.")
    if len(value) > limit:
        raise InvalidField(field[:300], f"is {len(value)} characters long; at most {limit} are kept.")
    if clean_text(value) != value:
        raise InvalidField(field[:300], "holds characters that cannot be stored (NUL, or half of a surrogate pair).")
    return value
