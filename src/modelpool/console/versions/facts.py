"""What is known of a version, in words: where it came from, whether its compiled form is proved, its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.registry.models import ModelVersion

_CV = "cv_"


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric: on rows held out, and the mean (and deviation) of cross-validation where that was done."""

    name: str
    value: Any
    cross: Any = None
    deviation: Any = None
    is_primary: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What is said of the compiled form; ``is_equal`` is ``None`` where there was nothing to compile."""

    text: str
    is_equal: bool | None


@dataclass(frozen=True, slots=True)
class Line:
    """An input or an output."""

    spec: TensorSpec
    is_input: bool

    @property
    def shape(self) -> str:
        """How many values a row has, as people write it."""
        inner = self.spec.shape[1:]
        return " × ".join("n" if size < 0 else str(size) for size in inner) if inner else ""


@dataclass(frozen=True, slots=True)
class File:
    """A file that can be downloaded."""

    title: str
    name: str
    format: str
    size_bytes: int
    sha256: str
    query: str
    answers: bool


def metrics_of(version: ModelVersion) -> list[Measured]:
    """Return the metrics by name, the primary one first, each with its mean over the folds."""
    found = dict(version.metrics)
    names = [name for name in found if not (name.startswith(_CV) and _base(name) in found)]
    lines = [
        Measured(
            name,
            found[name],
            found.get(f"{_CV}{name}"),
            found.get(f"{_CV}{name}_std"),
            name == version.primary_metric,
        )
        for name in names
    ]
    return sorted(lines, key=lambda line: (not line.is_primary, line.name))


def _base(name: str) -> str:
    return name.removeprefix(_CV).removesuffix("_std")


def params_of(version: ModelVersion) -> list[tuple[str, str]]:
    """Return the parameters that were set, as text."""
    return [(name, _as_text(value)) for name, value in sorted(version.params.items()) if value is not None]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def signature_lines(version: ModelVersion) -> list[Line]:
    """Return the inputs, then the outputs."""
    signature = ModelSignature.from_dict(version.signature)
    inputs = [Line(spec, is_input=True) for spec in signature.inputs]
    return [*inputs, *(Line(spec, is_input=False) for spec in signature.outputs)]


def proof_of(version: ModelVersion) -> Proof:
    """Say in words whether the compiled form answers alike, or why there is none."""
    parity = version.parity if isinstance(version.parity, Mapping) else None
    if parity is None:
        if version.trust == ModelVersion.Trust.TRAINED:
            return Proof(
                _("There was nothing to compile: the trainer gave a finished %(format)s file.") % _format(version), None
            )
        return Proof(_("Uploaded files are not compiled; this one answers as it is, in a process of its own."), None)
    if parity.get("equal"):
        return Proof(_equal(parity), True)
    reason = str(parity.get("reason") or _("nobody noted why"))
    text = _("Not compiled: %(reason)s. It answers as %(format)s, in a process of its own.")
    return Proof(text % {"reason": reason.rstrip("."), **_format(version)}, False)


def _equal(parity: Mapping[str, Any]) -> str:
    rows = int(parity.get("rows") or 0)
    text = ngettext(
        "Proved equal: on %(rows)d row like those of the training the compiled form answers as the estimator does.",
        "Proved equal: on %(rows)d rows like those of the training the compiled form answers as the estimator does.",
        rows,
    ) % {"rows": rows}
    difference, labels = parity.get("max_abs_diff"), parity.get("labels_equal")
    if labels is not None:
        text += " " + _("%(share)s of the classes are equal.") % {"share": f"{100 * float(labels):.6g} %"}
    if difference is not None:
        words = {"most": f"{float(difference):.3g}", "allowed": f"{float(parity.get('tolerance') or 0):.3g}"}
        text += " " + _("The greatest difference is %(most)s; %(allowed)s was allowed.") % words
    return text


def _format(version: ModelVersion) -> dict[str, str]:
    return {"format": version.format}


def _file_title(version: ModelVersion) -> str:
    if version.copied_from is not None:
        return _("as copied")
    return _("as trained") if version.job_id else _("as uploaded")


def files_of(version: ModelVersion) -> list[File]:
    """Return the file as trained or uploaded, and the compiled one."""
    found = []
    for file, title, query in (
        (version.artifact, _file_title(version), ""),
        (version.compiled, _("compiled"), "?artifact=compiled"),
    ):
        if file is not None:
            kind = "onnx" if query else version.format
            name = file.filename or f"{version.model.name}-{version.number}"
            answers = file == version.serving_artifact
            found.append(File(title, name, kind, file.size_bytes, file.sha256, query, answers))
    return found
