"""From what people write to a policy: ``"latest"``, or ``{"name": "best_metric", "metric": "accuracy", …}``."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from modelpool.core.errors import InvalidField
from modelpool.core.policies.base import ActivationPolicy, Mode
from modelpool.core.policies.best_metric import BestMetric
from modelpool.core.policies.latest import Latest
from modelpool.core.policies.pinned import Pinned

DEFAULT_POLICY = BestMetric()
"""Of a model that names none: better by the trainer's own primary metric."""

POLICY_NAMES = ("best_metric", "latest", "pinned")


class _PinnedForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="pinned"):
    def build(self) -> ActivationPolicy:
        return Pinned()


class _LatestForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="latest"):
    def build(self) -> ActivationPolicy:
        return Latest()


class _BestMetricForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="best_metric"):
    metric: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    mode: Mode | None = None
    min_improvement: Annotated[float, msgspec.Meta(ge=0, le=1e300)] = 0.0

    def build(self) -> ActivationPolicy:
        return BestMetric(metric=self.metric, mode=self.mode, min_improvement=self.min_improvement)


def parse_policy(form: str | dict[str, Any] | None, *, field: str = "policy") -> ActivationPolicy:
    """Return the policy; nothing (``None`` or ``{}``) is :data:`DEFAULT_POLICY`.

    Raises :class:`InvalidField` that names ``field`` and what may be written.
    """
    if form is None or form == {}:
        return DEFAULT_POLICY
    try:
        return _convert({"name": form} if isinstance(form, str) else form)
    except msgspec.ValidationError as error:
        raise InvalidField(
            field, f"{error}; the policies are {', '.join(POLICY_NAMES)}.", code="invalid_policy"
        ) from error


def _convert(form: Any) -> ActivationPolicy:
    return msgspec.convert(form, _PinnedForm | _LatestForm | _BestMetricForm).build()
