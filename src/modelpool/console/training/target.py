"""Which column to predict: a suggestion, and what predicting each of them would mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.utils.translation import gettext as _

from modelpool.training.models import TrainerInfo

Task = Literal["classification", "regression", "none"]

_NAMES = ("target", "label", "class", "y", "outcome", "result", "churn", "churned", "survived", "species", "price")
_WORDS_OF_TASKS: dict[Task, str] = {"classification": "classif", "regression": "regress"}
_MOST_CLASSES = 100
_FEW_NUMBERS = 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column of the table, as the choice of a target shows it."""

    facts: Mapping[str, Any]
    task: Task
    words: str
    missing_share: float

    @property
    def name(self) -> str:
        """The column's name."""
        return str(self.facts["name"])


def candidates(columns: Iterable[Mapping[str, Any]], *, n_rows: int) -> list[Candidate]:
    """Return all columns with what predicting them would be."""
    return [_candidate(column, n_rows=n_rows) for column in columns]


def suggest(found: Sequence[Candidate]) -> str:
    """Return the name of the likely target: one that is called so, or else the last that can be one; "" for none."""
    possible = [one for one in found if one.task != "none"]
    for name in _NAMES:
        for one in possible:
            if one.name.strip().lower() == name:
                return one.name
    return possible[-1].name if possible else ""


def suggest_trainer(task: Task, trainers: Sequence[TrainerInfo]) -> str:
    """Return the trainer whose name says that it does the task, or else the first; "" for none.

    Without a target that is the first whose name speaks of neither task.
    """
    names = [one.name for one in trainers]
    if task == "none":
        fitting = [name for name in names if not any(word in name.lower() for word in _WORDS_OF_TASKS.values())]
    else:
        fitting = [name for name in names if _WORDS_OF_TASKS[task] in name.lower()]
    own = [name for name in fitting if name.startswith("tabular_")]
    return next(iter([*own, *fitting, *names]), "")


def _candidate(facts: Mapping[str, Any], *, n_rows: int) -> Candidate:
    task, words = _task(facts, n_rows=n_rows)
    missing = int(facts.get("missing") or 0)
    if missing and task != "none":
        words += " " + _("Rows without a value are left out.")
    return Candidate(facts, task, words, missing / n_rows if n_rows else 0.0)


def _task(facts: Mapping[str, Any], *, n_rows: int) -> tuple[Task, str]:
    dtype, distinct = str(facts.get("dtype")), int(facts.get("distinct") or 0)
    numbers = {"distinct": f"{distinct:,}", "low": _short(facts.get("min")), "high": _short(facts.get("max"))}
    if dtype == "null" or distinct == 0:
        return "none", _("It has no values at all.")
    if distinct == 1:
        return "none", _("It has one value only: there is nothing to predict.")
    present = n_rows - int(facts.get("missing") or 0)
    task, words = _of_type(dtype, distinct=distinct, is_unique=distinct == present > _FEW_NUMBERS)
    return task, words % numbers


def _of_type(dtype: str, *, distinct: int, is_unique: bool) -> tuple[Task, str]:
    match dtype:
        case "bool":
            return "classification", _("Classification: yes or no, with probabilities.")
        case "string" if distinct > _MOST_CLASSES or is_unique:
            return "none", _("%(distinct)s different texts are too many to tell apart.")
        case "string":
            return "classification", _("Classification: one of %(distinct)s values, with probabilities.")
        case "datetime":
            return "none", _("Dates cannot be predicted; make a number of it, such as days until.")
        case "int64" if is_unique:
            return "none", _("Every row has its own number: this looks like an id.")
        case "int64" if distinct <= _FEW_NUMBERS:
            return "classification", _("Classification: one of %(distinct)s numbers. For amounts choose a regressor.")
        case _:
            return "regression", _("Regression: a number between %(low)s and %(high)s.")


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)
