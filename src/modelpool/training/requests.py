"""Checks of what a request to train asks for; each error names the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]

from modelpool.core.errors import Conflict, FieldError, Invalid, InvalidField, Unavailable, UnknownTrainer
from modelpool.training.models import Dataset, TrainerInfo

_MAX_ERRORS = 20


def check_trainer(name: str) -> TrainerInfo:
    """Return the trainer; raise :class:`UnknownTrainer`, or :class:`Unavailable` before any worker has started."""
    row = TrainerInfo.objects.filter(name=name).first() if isinstance(name, str) else None
    if row is not None:
        return row
    known = list(TrainerInfo.objects.order_by("name").values_list("name", flat=True))
    if not known:
        raise Unavailable("No job worker has told yet which trainers it offers; is one running?", retry_after_s=2.0)
    raise UnknownTrainer(str(name)[:63], known)


def check_params(params: Mapping[str, Any], *, schema: Mapping[str, Any]) -> None:
    """Check the parameters by the trainer's JSON Schema; raise :class:`Invalid` naming ``params.n_estimators`` etc."""
    if not isinstance(params, dict):
        raise InvalidField("params", "must be an object of parameter names and values.")
    found = sorted(
        Draft202012Validator(schema).iter_errors(params), key=lambda error: list(map(str, error.absolute_path))
    )
    errors = [item for error in found[:_MAX_ERRORS] for item in _explain(error, schema=schema)]
    if errors:
        raise Invalid("; ".join(f"{item.field}: {item.detail}" for item in errors), errors=errors)


def check_has_file(dataset: Dataset) -> None:
    """Refuse to train on what a worker has not fetched yet, or could not fetch."""
    if dataset.state == Dataset.State.PENDING:
        raise Conflict(f"Dataset {dataset.pk} is being fetched; train on it once its state is 'ready'.")
    if dataset.state == Dataset.State.FAILED:
        raise Conflict(f"Dataset {dataset.pk} could not be fetched: {dataset.warning}")


def check_target(target: str, *, dataset: Dataset) -> str:
    """Return the target; refuse at once one that the dataset's profile does not have."""
    if not isinstance(target, str) or len(target) > 200 or "\x00" in target:
        raise InvalidField("target", "must be the name of a column, of at most 200 characters.")
    check_column(target, names=[column["name"] for column in dataset.columns or ()])
    return target


def check_column(target: str, *, names: Sequence[str]) -> None:
    """Refuse a target that is none of the ``names``; without names nothing is known yet."""
    if target and names and target not in names:
        shown = ", ".join(map(repr, names[:30])) + (", …" if len(names) > 30 else "")
        raise InvalidField("target", f"There is no column {target!r}; the columns are {shown}.", code="unknown_column")


def check_limit(value: float | None, *, field: str, ceiling: float) -> float:
    """Return ``value``, or the operator's ``ceiling`` when none is asked for; raise when it is beyond."""
    if value is None:
        return ceiling
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= ceiling:
        raise InvalidField(field, f"must be a number above 0 and at most {ceiling:g}, the limit of this installation.")
    return value


def _explain(error: ValidationError, *, schema: Mapping[str, Any]) -> Iterable[FieldError]:
    """Turn one finding into fields and sentences; values are cut, for they come from the client."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = sorted(error.schema.get("properties", {}))
        for name in sorted(set(error.instance) - set(known)):
            detail = f"is not a parameter of this trainer; those are {', '.join(known) or 'none'}."
            yield FieldError(f"params{path}.{name[:80]}", detail, "unknown_field")
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        for name in missing:
            yield FieldError(f"params{path}.{name}", "is required.", "required")
    else:
        yield FieldError(f"params{path}", f"{_sentence(error)}, not {error.instance!r:.80}.")


def _sentence(error: ValidationError) -> str:
    value = error.validator_value
    match error.validator:
        case "enum":
            return f"must be one of {', '.join(map(str, value))}"
        case "type":
            return f"must be {' or '.join(value if isinstance(value, list) else [value])}"
        case "minimum":
            return f"must be at least {value:g}"
        case "maximum":
            return f"must be at most {value:g}"
        case "exclusiveMinimum":
            return f"must be more than {value:g}"
        case "exclusiveMaximum":
            return f"must be less than {value:g}"
        case "anyOf":
            return "must be " + " or ".join(_alternative(item) for item in value)
        case _:
            return f"breaks the rule {error.validator} {value!r:.80}"


def _alternative(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    limits = [f"{words} {schema[key]:g}" for key, words in bounds.items() if key in schema]
    return " ".join([str(schema.get("type", "another value")), *(["of " + " and ".join(limits)] if limits else [])])
