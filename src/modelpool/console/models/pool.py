"""The pool of one model as a table: versions down, metrics across, the best values marked.

Of every version the few columns that decide what is best are read, in one query; all of a row only for those that a
page shows. So a pool of a thousand is compared whole and shown in pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import TextField
from django.db.models.functions import Cast

from modelpool.core.policies import BestMetric, Candidate, Mode, metric_mode, metric_value
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.querysets import aliases_of_versions

MOST_VERSIONS = 5000
_SHOWN_METRICS = 4
_SHOWN = (
    "tenant", "model", "number", "state", "trust", "format", "serving_format", "size_bytes", "sha256", "metrics",
    "primary_metric", "created_at", "created_by", "description", "tags", "quarantined_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """What is known of every version of a pool."""

    id: UUID
    candidate: Candidate
    state: str
    is_quarantined: bool
    size_bytes: int

    @property
    def number(self) -> int:
        """The number of the version."""
        return self.candidate.number

    @property
    def may_answer(self) -> bool:
        """Whether it can be activated; the others are not compared with."""
        return self.state == ModelVersion.State.READY and not self.is_quarantined

    def value(self, metric: str) -> float | None:
        """Return a metric, ``None`` where it was not measured or is no number."""
        return metric_value(self.candidate.metrics, metric)


@dataclass(frozen=True, slots=True)
class MetricCell:
    """One metric of one version; ``value`` is ``None`` where the version has none."""

    name: str
    value: float | None
    is_best: bool


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One version with its metrics, aliases and whether it answers."""

    version: ModelVersion
    is_active: bool
    aliases: tuple[str, ...]
    cells: list[MetricCell]

    @property
    def can_be_activated(self) -> bool:
        """Whether to offer it."""
        is_ready = self.version.state == ModelVersion.State.READY
        return is_ready and not self.is_active and self.version.quarantined_at is None


@dataclass(frozen=True)
class Pool:
    """All versions of a model that are not deleted, newest first."""

    model: RegisteredModel
    members: list[Member]

    @cached_property
    def metrics(self) -> list[str]:
        """Every metric that a version has, by name."""
        return sorted(self._counts)

    @cached_property
    def judged_by(self) -> str:
        """The metric that the model is judged by: its policy's, else that of the active or the newest version."""
        stated = self.model.policy.get("metric")
        if stated in self._counts:
            return str(stated)
        active = self.model.active_version
        primary = [active.primary_metric] if active else []
        primary += [member.candidate.primary_metric or "" for member in self.members]
        known = [name for name in primary if name in self._counts]
        return known[0] if known else next((name for name, _ in self._counts.most_common()), "")

    def columns(self, chosen: str) -> list[str]:
        """Return the metrics to show: the chosen one, what versions are judged by, then what most versions have."""
        primary = [member.candidate.primary_metric for member in self.members if member.candidate.primary_metric]
        judged = [name for metric in dict.fromkeys(primary) for name in (metric, f"cv_{metric}")]
        others = [name for name, _ in self._counts.most_common() if not name.startswith("cv_")]
        wanted = [name for name in dict.fromkeys([chosen, *judged, *others]) if name in self._counts]
        return wanted[:_SHOWN_METRICS]

    def mode(self, metric: str) -> Mode:
        """Return whether more of the metric is better: the newest trainer's word for it, else what its name tells."""
        said = [member.candidate for member in self.members if member.candidate.primary_metric == metric]
        return max(said, key=lambda one: one.number).primary_mode if said else metric_mode(metric)

    def best_value(self, metric: str) -> float | None:
        """Return the best value of the versions that may answer; ``None`` where there are not two to compare."""
        if not says_how_good(metric):
            return None
        values = [value for member in self.members if member.may_answer and (value := member.value(metric)) is not None]
        if len(values) < 2:
            return None
        return min(values) if self.mode(metric) == "min" else max(values)

    def best_number(self, *, by: str, mode: Mode | None = None) -> int | None:
        """Return which version would be activated as the best by a metric, ``None`` where none has it."""
        policy = BestMetric(metric=by, mode=mode)
        candidates = [member.candidate for member in self.members if member.may_answer]
        if policy.choose(candidates, active=None) is None:
            return None
        return policy.choose(candidates, active=self.active_number)

    @property
    def active_number(self) -> int | None:
        """The version that answers."""
        return None if self.model.active_version is None else self.model.active_version.number

    @property
    def size_bytes(self) -> int:
        """What all files as trained or uploaded take."""
        return sum(member.size_bytes for member in self.members)

    def member(self, number: int | None) -> Member | None:
        """Return one version, if it is there."""
        return next((member for member in self.members if member.number == number), None)

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(name for member in self.members for name in member.candidate.metrics)


def says_how_good(metric: str) -> bool:
    """Whether more or less of it is better at all: of a spread over folds neither is."""
    return not metric.endswith("_std")


def pool_of(model: RegisteredModel) -> Pool:
    """Return the pool of a model: one query, however many versions there are.

    Metrics come as text: what Django would decode them with takes a third of the page's time for a thousand versions.
    """
    versions = ModelVersion.objects.for_tenant(model.tenant_id).filter(model=model)
    versions = versions.exclude(state=ModelVersion.State.DELETED).order_by("-number")
    versions = versions.annotate(metrics_text=Cast("metrics", TextField()))
    columns = ("pk", "number", "created_at", "metrics_text", "primary_metric", "primary_mode", "state")
    rows = versions.values_list(*columns, "quarantined_at", "size_bytes")[:MOST_VERSIONS]
    return Pool(model, [_member(*row) for row in rows])


def rows_of(pool: Pool, members: Sequence[Member], *, metrics: Sequence[str]) -> list[PoolRow]:
    """Return the rows of these versions, in their order: two queries."""
    model = pool.model
    found = ModelVersion.objects.for_tenant(model.tenant_id).filter(
        model=model, number__in=[member.number for member in members]
    )
    versions = {version.pk: version for version in found.only(*_SHOWN)}
    aliases = aliases_of_versions(list(versions.values()))
    best = {name: pool.best_value(name) for name in metrics}
    return [
        PoolRow(
            version=versions[member.id],
            is_active=member.id == model.active_version_id,
            aliases=aliases.get(member.id, ()),
            cells=[_cell(name, member, best[name]) for name in metrics],
        )
        for member in members
        if member.id in versions
    ]


def _member(
    pk: UUID,
    number: int,
    created_at: Any,
    metrics: str,
    primary: str,
    mode: str,
    state: str,
    quarantined: Any,
    size: int,
) -> Member:
    candidate = Candidate(
        number=number,
        created_at=created_at,
        metrics=msgspec.json.decode(metrics),
        primary_metric=primary or None,
        primary_mode="min" if mode == "min" else "max",
    )
    return Member(pk, candidate, state, quarantined is not None, size)


def _cell(name: str, member: Member, best: float | None) -> MetricCell:
    value = member.value(name)
    return MetricCell(name, value, is_best=value is not None and value == best and member.may_answer)
