"""The pool of one model as a table: versions down, metrics across, the best values marked."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from modelpool.core.policies.metric_modes import metric_mode, metric_value
from modelpool.registry.models import ModelAlias, ModelVersion, RegisteredModel

_MAX_METRICS = 4
_MAX_VERSIONS = 200


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
    aliases: list[str]
    cells: list[MetricCell]


@dataclass(frozen=True, slots=True)
class PoolTable:
    """All of a model's versions, newest first; ``metrics`` are the columns, ``all_metrics`` what can be chosen by."""

    rows: list[PoolRow] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    all_metrics: list[str] = field(default_factory=list)


def pool_table(model: RegisteredModel) -> PoolTable:
    """Return the table of a model's versions; three queries, however many versions there are."""
    versions = list(
        ModelVersion.objects.for_tenant(model.tenant)
        .filter(model=model)
        .exclude(state=ModelVersion.State.DELETED)
        .defer("figures")
        .order_by("-number")[:_MAX_VERSIONS]
    )
    aliases = defaultdict(list)
    for alias in ModelAlias.objects.for_tenant(model.tenant).filter(model=model).order_by("name"):
        aliases[alias.version_id].append(alias.name)
    counts = Counter(name for version in versions for name in version.metrics)
    shown = _columns(counts, primary=[version.primary_metric for version in versions if version.primary_metric])
    best = {name: _best(name, versions) for name in shown}
    rows = [
        PoolRow(
            version=version,
            is_active=version.pk == model.active_version_id,
            aliases=aliases[version.pk],
            cells=[_cell(name, version, best[name]) for name in shown],
        )
        for version in versions
    ]
    return PoolTable(rows=rows, metrics=shown, all_metrics=sorted(counts))


def _columns(counts: Counter[str], *, primary: list[str]) -> list[str]:
    """Choose what is shown: what the versions are judged by, the same cross-validated, then what most versions have."""
    judged = [name for metric in dict.fromkeys(primary) for name in (metric, f"cv_{metric}") if name in counts]
    others = [name for name, _ in counts.most_common() if not name.startswith("cv_")]
    return list(dict.fromkeys(judged + others))[:_MAX_METRICS]


def _cell(name: str, version: ModelVersion, best: float | None) -> MetricCell:
    value = metric_value(version.metrics, name)
    return MetricCell(name=name, value=value, is_best=value is not None and value == best)


def _best(name: str, versions: list[ModelVersion]) -> float | None:
    values = [value for version in versions if (value := metric_value(version.metrics, name)) is not None]
    if len(values) < 2:
        return None
    return min(values) if metric_mode(name) == "min" else max(values)
