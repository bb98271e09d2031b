"""What a job made, beside what was active before."""

from __future__ import annotations

from dataclasses import dataclass

from modelpool.core.errors import ModelpoolError
from modelpool.core.policies import metric_mode, metric_value
from modelpool.registry import services
from modelpool.registry.activation import previous_version
from modelpool.registry.models import ModelVersion
from modelpool.training.models import TrainingJob


@dataclass(frozen=True, slots=True)
class Line:
    """A metric of both; ``delta`` is new minus old, ``is_better`` whether that is good; ``None`` where one has none."""

    name: str
    new: float | None
    old: float | None
    is_primary: bool

    @property
    def delta(self) -> float | None:
        """How much it moved."""
        return None if self.new is None or self.old is None else self.new - self.old

    @property
    def is_better(self) -> bool | None:
        """Whether the move is good; ``None`` for no move, and for a spread, which is not what one wants of a model."""
        if not self.delta or self.name.endswith("_std"):
            return None
        return (self.delta > 0) == (metric_mode(self.name) == "max")


@dataclass(frozen=True, slots=True)
class Result:
    """The new version and the one it stands beside."""

    version: ModelVersion
    other: ModelVersion | None
    is_active: bool
    lines: list[Line]


def result_of(job: TrainingJob) -> Result | None:
    """Return what the job made, ``None`` where there is nothing, or nothing any more."""
    if not job.version_number:
        return None
    rows = ModelVersion.objects.for_tenant(job.tenant_id).filter(model=job.model)
    version = rows.filter(number=job.version_number).exclude(state=ModelVersion.State.DELETED).first()
    if version is None:
        return None
    active = job.model.active_version
    is_active = active is not None and active.pk == version.pk
    other = _before(job) if is_active else active
    return Result(version, other, is_active, _lines(version, other))


def _before(job: TrainingJob) -> ModelVersion | None:
    try:
        return services.get_version(job.model, previous_version(job.model))
    except ModelpoolError:
        return None


def _lines(version: ModelVersion, other: ModelVersion | None) -> list[Line]:
    old = other.metrics if other else {}
    first = version.primary_metric
    names = sorted({*version.metrics, *old}, key=lambda name: (name != first, name not in version.metrics, name))
    return [
        Line(name, metric_value(version.metrics, name), metric_value(old, name), name == version.primary_metric)
        for name in names
    ]
