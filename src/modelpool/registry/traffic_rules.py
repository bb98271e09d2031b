"""How the predictions of one model are divided among its versions: what a rule says, and whether it can be."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from modelpool.core.errors import InvalidField
from modelpool.core.signature import ModelSignature, TensorSpec

STICKY_HEADER: Final = "X-Modelpool-Sticky"
"""Requests with the same value of this header get the same version, unless a rule names another header."""

_MAX_SHARES = 10
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_OURS = frozenset({"authorization", "cookie", "content-length", "content-type", "transfer-encoding", "host"})
_WHOLE = 100.0
_TOLERANCE = 1e-6

_WIDER: Final = {
    "int8": {"int16", "int32", "int64", "float16", "float32", "float64"},
    "int16": {"int32", "int64", "float32", "float64"},
    "int32": {"int64", "float64"},
    "int64": {"float64"},
    "uint8": {"uint16", "uint32", "uint64", "int16", "int32", "int64", "float16", "float32", "float64"},
    "uint16": {"uint32", "uint64", "int32", "int64", "float32", "float64"},
    "uint32": {"uint64", "int64", "float64"},
    "uint64": {"float64"},
    "float16": {"float32", "float64"},
    "float32": {"float64"},
    "float64": {"float32"},
}
"""What takes every number that is sent for another type; whole numbers past 2**53 are rounded by float64."""


class Share(msgspec.Struct, frozen=True):
    """A version and its percentage of the requests."""

    version: int
    percent: float


class TrafficRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers ``…/predict`` of a model.

    ``canary`` takes its percentage and leaves the rest to the active version; ``split`` names everyone who answers, up
    to 100 %; ``shadow`` gets a copy of its percentage after the answer. ``id`` names the experiment: it stays while the
    versions are the same, salts the choice, and keeps the figures of one experiment from those of the next.
    """

    id: str = ""
    canary: Share | None = None
    split: tuple[Share, ...] = ()
    shadow: Share | None = None
    sticky_header: str = STICKY_HEADER
    since: str = ""
    by: str = ""

    def parts(self) -> dict[int, str]:
        """Return the versions that the rule names, and as what."""
        named: dict[int, str] = {}
        if self.canary is not None:
            named[self.canary.version] = "canary"
        named.update({share.version: f"split[{index}]" for index, share in enumerate(self.split)})
        if self.shadow is not None:
            named.setdefault(self.shadow.version, "shadow")
        return named

    def experiment(self) -> tuple[Any, ...]:
        """Return what makes two rules the same experiment: their versions, whatever their percentages."""
        canary = self.canary.version if self.canary else None
        shadow = self.shadow.version if self.shadow else None
        return canary, tuple(share.version for share in self.split), shadow

    def without(self, number: int) -> TrafficRule | None:
        """Return the rule when ``number`` becomes active: it ends as canary and as shadow; ``None`` if nothing is left.

        A split names everyone who answers, and stays as it is.
        """
        canary = None if self.canary and self.canary.version == number else self.canary
        shadow = None if self.shadow and self.shadow.version == number and not self.split else self.shadow
        if canary is None and shadow is None and not self.split:
            return None
        return msgspec.structs.replace(self, canary=canary, shadow=shadow)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, as stored in the model's row."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def rule_of(stored: Any) -> TrafficRule | None:
    """Read what :meth:`TrafficRule.to_dict` wrote."""
    return None if not stored else msgspec.convert(stored, TrafficRule)


def check_rule(rule: TrafficRule, *, active: int) -> None:
    """Raise :class:`InvalidField` that names what contradicts itself, whatever versions there are."""
    if rule.canary is None and rule.shadow is None and not rule.split:
        raise InvalidField("canary", "name a canary, a split or a shadow; DELETE ends the rule.", code="required")
    if rule.canary is not None and rule.split:
        raise InvalidField("split", "cannot stand beside a canary; give the canary a share of the split.")
    _check_header(rule.sticky_header)
    if rule.canary is not None:
        _check_percent("canary.percent", rule.canary.percent)
        if rule.canary.version == active:
            raise InvalidField("canary.version", f"{active} is the active version; a canary is another one.")
    if rule.shadow is not None:
        _check_percent("shadow.percent", rule.shadow.percent)
        if rule.shadow.version == active and not rule.split:
            raise InvalidField("shadow.version", f"{active} is the active version; a shadow is another one.")
        if rule.canary is not None and rule.shadow.version == rule.canary.version:
            raise InvalidField("shadow.version", "is the canary already; it need not be mirrored as well.")
    _check_split(rule.split)


def check_compatible(active: ModelSignature, other: ModelSignature, *, field: str) -> None:
    """Raise :class:`InvalidField` unless every request that ``active`` takes is taken by ``other``."""
    found = {spec.name: spec for spec in other.inputs}
    for spec in active.inputs:
        problem = _difference(spec, found.pop(spec.name, None))
        if problem:
            raise _incompatible(field, f"the input {spec.name!r} {problem}")
    for spec in found.values():
        if not spec.nullable:
            raise _incompatible(field, f"it also needs the input {spec.name!r}")
    for method in active.methods:
        if method not in other.methods:
            raise _incompatible(field, f"it has no method {method!r}")
    if not active.is_tabular and [spec.name for spec in active.inputs] != [spec.name for spec in other.inputs]:
        raise _incompatible(field, "its inputs stand in another order")


def _difference(spec: TensorSpec, other: TensorSpec | None) -> str:
    if other is None:
        return "is unknown to it"
    if other.dtype != spec.dtype and other.dtype not in _WIDER.get(spec.dtype, set()):
        return f"is {other.dtype} there, not {spec.dtype}"
    if spec.nullable and not other.nullable:
        return "may not be missing there"
    fits = len(spec.shape) == len(other.shape) and all(
        wanted in (-1, size) for size, wanted in zip(spec.shape, other.shape, strict=True)
    )
    return "" if fits else f"has the shape {list(other.shape)} there, not {list(spec.shape)}"


def _incompatible(field: str, what: str) -> InvalidField:
    detail = f"this version does not take what the active one takes: {what}. Send 'force': true to try it all the same."
    return InvalidField(field, detail, code="incompatible_signature")


def _check_percent(field: str, percent: float) -> None:
    if not (math.isfinite(percent) and 0 <= percent <= _WHOLE):
        raise InvalidField(field, "is a number from 0 to 100.")


def _check_split(split: tuple[Share, ...]) -> None:
    if not split:
        return
    if not 2 <= len(split) <= _MAX_SHARES:
        raise InvalidField("split", f"names from 2 to {_MAX_SHARES} versions.")
    for index, share in enumerate(split):
        _check_percent(f"split[{index}].percent", share.percent)
        if share.version in {other.version for other in split[:index]}:
            raise InvalidField(f"split[{index}].version", f"{share.version} is there twice.")
    total = sum(share.percent for share in split)
    if abs(total - _WHOLE) > _TOLERANCE:
        raise InvalidField("split", f"the percentages add up to {total:g}, not to 100.")


def _check_header(name: str) -> None:
    if not _HEADER.fullmatch(name) or name.lower() in _OURS:
        raise InvalidField("sticky_header", "is the name of a header of yours: letters, digits and hyphens.")
