"""Two to five versions side by side: what they have in common, and in what they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from modelpool.console.models.pool import Pool, says_how_good
from modelpool.console.templatetags.console_tags import readable_bytes
from modelpool.core.policies import metric_value
from modelpool.registry.copying import origin_of
from modelpool.registry.models import ModelVersion
from modelpool.training.models import TrainingJob

_MOST_CHARS = 200
_MISSING = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one version has; ``delta`` is the difference from the first one, ``is_better`` whether that is good,
    ``None`` where nobody can tell.
    """

    text: str
    is_best: bool = False
    delta: float | None = None
    is_better: bool | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of all versions."""

    name: str
    cells: list[Cell]

    @property
    def differs(self) -> bool:
        """Whether the versions do not all have the same."""
        return len({cell.text for cell in self.cells}) > 1


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a heading."""

    id: str
    title: str
    lines: list[Line]

    @property
    def different(self) -> list[Line]:
        """The lines in which the versions differ."""
        return [line for line in self.lines if line.differs]

    @property
    def same(self) -> list[Line]:
        """The lines in which they do not."""
        return [line for line in self.lines if not line.differs]


def metric_lines(pool: Pool, versions: Sequence[ModelVersion], shown: Callable[[float | None], str]) -> list[Line]:
    """Return each metric with the differences from the first version and the best of these marked."""
    names = sorted({name for version in versions for name in version.metrics})
    names.sort(key=lambda name: name != pool.judged_by)
    return [_metric_line(name, versions, shown, is_less=pool.mode(name) == "min") for name in names]


def sections_of(versions: Sequence[ModelVersion], jobs: Mapping[Any, TrainingJob]) -> list[Section]:
    """Return parameters, signature, and data and trainer of the versions."""
    return [
        Section("parameters", _("Parameters"), _lines([version.params for version in versions])),
        Section("signature", _("Signature"), _lines([_signature(version.signature) for version in versions])),
        Section(
            "origin", _("Data, trainer and files"), _lines([_origin(one, jobs.get(one.job_id)) for one in versions])
        ),
        Section("libraries", _("Libraries"), _lines([version.libraries for version in versions])),
    ]


def _metric_line(
    name: str, versions: Sequence[ModelVersion], shown: Callable[[float | None], str], *, is_less: bool
) -> Line:
    values = [metric_value(version.metrics, name) for version in versions]
    known = [value for value in values if value is not None]
    can_be_judged = says_how_good(name) and len(set(known)) > 1
    best = (min(known) if is_less else max(known)) if can_be_judged else None
    cells = []
    for position, value in enumerate(values):
        delta = value - values[0] if position and value is not None and values[0] is not None else None
        is_better = None if not delta or not can_be_judged else (delta < 0) == is_less
        cells.append(Cell(shown(value), value is not None and value == best, delta, is_better))
    return Line(name, cells)


def _lines(columns: Sequence[Mapping[str, Any]]) -> list[Line]:
    names: Iterable[str] = dict.fromkeys(name for column in columns for name in column)
    return [Line(name, [Cell(_text(column.get(name))) for column in columns]) for name in names]


def _text(value: Any) -> str:
    if value is None or value == "":
        return _MISSING
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode()
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"


def _signature(stored: Mapping[str, Any]) -> dict[str, str]:
    """Return what goes in and out by name, each in a few words."""
    goes_in, comes_out = _("in: %(name)s"), _("out: %(name)s")
    found = {goes_in % {"name": spec["name"]}: _spec(spec) for spec in stored.get("inputs", [])}
    found |= {comes_out % {"name": spec["name"]}: _spec(spec) for spec in stored.get("outputs", [])}
    classes = stored.get("classes")
    return {**found, _("classes"): ", ".join(str(one) for one in classes)} if classes else found


def _spec(spec: Mapping[str, Any]) -> str:
    shape = "×".join("n" if size < 0 else str(size) for size in spec.get("shape", [-1]))
    said = f"{spec.get('dtype')} [{shape}]"
    return _("%(type)s, may be missing") % {"type": said} if spec.get("nullable") else said


def _copied(version: ModelVersion) -> str:
    origin = origin_of(version)
    if origin is None:
        return ""
    return _("copied from %(place)s") % {"place": f"{origin.tenant}/{origin.model} v{origin.number}"}


def _origin(version: ModelVersion, job: TrainingJob | None) -> dict[str, Any]:
    dataset = None if job is None or job.dataset is None else job.dataset.name or str(job.dataset_id)[:8]
    served = version.format
    if version.serving_format != version.format:
        served = f"{version.format} → {version.serving_format}"
    return {
        _("trainer"): job.trainer if job else _copied(version) or _("uploaded"),
        _("target"): job.target if job else None,
        _("dataset"): dataset or (str(version.dataset_id)[:8] if version.dataset_id else None),
        _("format"): served,
        _("trust"): version.trust_level,
        _("size"): readable_bytes(version.size_bytes),
        "SHA-256": f"{version.sha256[:12]}…",
        _("made by"): version.created_by,
        _("description"): version.description,
        **{_("tag: %(name)s") % {"name": name}: value for name, value in version.tags.items()},
    }
