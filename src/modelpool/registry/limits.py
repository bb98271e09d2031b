"""Limits of what people attach to models and versions, and the cleaning of what trainers attach."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from modelpool.core.errors import InvalidField
from modelpool.core.signature import ModelSignature, TensorSpec

MAX_TAGS = 100
MAX_TAG_KEY_CHARS = 250
MAX_TAG_VALUE_CHARS = 5000
MAX_TAGS_CHARS = 65_536
MAX_DESCRIPTION_CHARS = 20_000
MAX_METRICS = 1000
MAX_METRIC_NAME_CHARS = 250
MAX_PRIMARY_METRIC_CHARS = 64
MAX_PARAMS_BYTES = 262_144
MAX_FIGURES = 100
MAX_FIGURES_BYTES = 1 << 20
MAX_TENSORS = 10_000
MAX_TENSOR_NAME_CHARS = 250
MAX_DIMENSIONS = 16
MAX_SIGNATURE_BYTES = 4 * 2**20

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # as it stands in JSON


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


def check_primary_metric(name: object, *, field: str = "primary_metric") -> str:
    """Return the name of the metric that a version is judged by; cut, it would be the name of no metric."""
    return _check_text(name, field=field, limit=MAX_PRIMARY_METRIC_CHARS)


def check_params(params: object, *, field: str = "params") -> dict[str, Any]:
    """Return the parameters, a JSON object of at most :data:`MAX_PARAMS_BYTES`, cleaned."""
    if not isinstance(params, Mapping):
        raise InvalidField(field, "must be an object.")
    cleaned: dict[str, Any] = clean_json(params)
    if len(msgspec.json.encode(cleaned)) > MAX_PARAMS_BYTES:
        raise InvalidField(field, f"is longer than {MAX_PARAMS_BYTES} bytes as JSON.")
    return cleaned


def check_figures(figures: object, *, field: str = "figures") -> dict[str, Any]:
    """Return plots as data by name, objects of at most :data:`MAX_FIGURES_BYTES` together, cleaned."""
    if not isinstance(figures, Mapping):
        raise InvalidField(field, "must be an object of objects.")
    if len(figures) > MAX_FIGURES:
        raise InvalidField(field, f"has {len(figures)} entries; at most {MAX_FIGURES} are kept.")
    for name, figure in figures.items():
        _check_metric_name(name, field=field)
        if not isinstance(figure, Mapping):
            raise InvalidField(f"{field}.{name}", "must be an object.")
    cleaned: dict[str, Any] = clean_json(figures)
    if len(msgspec.json.encode(cleaned)) > MAX_FIGURES_BYTES:
        raise InvalidField(field, f"is longer than {MAX_FIGURES_BYTES} bytes as JSON; send fewer points.")
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


def check_signature(signature: ModelSignature, *, field: str = "signature") -> ModelSignature:
    """Return the signature; raise :class:`InvalidField` that names what no model can have."""
    for side, specs in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        if not 1 <= len(specs) <= MAX_TENSORS:
            raise InvalidField(f"{field}.{side}", f"has {len(specs)} entries; a model has 1 to {MAX_TENSORS}.")
        for at, spec in enumerate(specs):
            _check_tensor(spec, field=f"{field}.{side}[{at}]")
        if len({spec.name for spec in specs}) != len(specs):
            raise InvalidField(f"{field}.{side}", "has a name twice.")
    written = msgspec.json.encode(signature)
    if len(written) > MAX_SIGNATURE_BYTES:
        raise InvalidField(field, f"is longer than {MAX_SIGNATURE_BYTES} bytes as JSON.")
    if _NUL.search(written):  # PostgreSQL stores none
        raise InvalidField(field, "holds a text with a zero character (U+0000).")
    return signature


def _check_tensor(spec: TensorSpec, *, field: str) -> None:
    if not 1 <= len(spec.name) <= MAX_TENSOR_NAME_CHARS or not spec.name.isprintable():
        raise InvalidField(f"{field}.name", f"must be one line of 1 to {MAX_TENSOR_NAME_CHARS} characters.")
    if not 1 <= len(spec.shape) <= MAX_DIMENSIONS or spec.shape[0] != -1:
        raise InvalidField(f"{field}.shape", f"must be -1, for the rows, and at most {MAX_DIMENSIONS - 1} sizes.")
    if any(size != -1 and size < 1 for size in spec.shape):
        raise InvalidField(f"{field}.shape", "holds a size that is neither positive nor -1, for any.")
