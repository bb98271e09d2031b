"""The training seam: what a user's algorithm gets, and what it gives back.

A trainer is a class::

    class Ridge(Trainer):
        name = "ridge"

        class Params(TrainerParams):
            alpha: float = 1.0

        def train(self, run: Run) -> TrainedModel: ...

or a decorated function, whose keyword parameters become its parameters::

    @trainer("ridge")
    def ridge(run: Run, alpha: float = 1.0):
        model = sklearn.linear_model.Ridge(alpha=alpha).fit(run.features, run.labels)
        run.log_metric("r2", model.score(run.features, run.labels))
        return model

It runs in a child process of a job worker, never in a web process.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast, get_type_hints

import msgspec

from modelpool.core.plugins import PluginRegistry
from modelpool.core.signature import ModelSignature, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

T = TypeVar("T", bound="Trainer")

TRAINERS: PluginRegistry[Trainer] = PluginRegistry("modelpool.trainers")


class TrainerParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of a trainer's parameters; its JSON Schema makes the form in the console and checks requests."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What training gives.

    ``estimator`` is a fitted scikit-learn estimator (``format="sklearn"``), or the finished bytes of a model file
    of the named format. ``sample`` holds rows of the features as the estimator takes them, a frame or a matrix, for
    the signature's example and for the proof of the compiled model; ``figures`` are plots as data (confusion matrix,
    ROC, …).
    """

    estimator: Any
    format: str = "sklearn"
    signature: ModelSignature | None = None
    sample: pd.DataFrame | np.ndarray | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    primary_metric: str | None = None
    primary_mode: Literal["max", "min"] = "max"
    figures: Mapping[str, Any] = field(default_factory=dict)


class Run(ABC):
    """One attempt at one job, as the trainer sees it.

    Every call of :meth:`progress` or the log methods is a point where a cancelled job stops; a trainer that never
    calls them is killed instead.
    """

    data: pd.DataFrame
    """The whole table, ``(n_rows, n_columns)``, the target included.

    Numbers are float64 or int64, booleans bool, text and categories objects with ``""`` for missing, dates float64
    seconds since 1970 UTC with NaN for missing.
    """

    columns: tuple[TensorSpec, ...] = ()
    """How each column of ``data`` stands on the wire: dates are numbers in ``data`` and ``datetime`` here.
    Empty where nothing is known but the frame."""

    target: str | None
    params: TrainerParams
    tenant: str
    model: str
    seed: int

    @property
    def features(self) -> pd.DataFrame:
        """The table without the target, ``(n_rows, n_features)``."""
        return self.data.drop(columns=[self.target]) if self.target else self.data

    @property
    def labels(self) -> pd.Series[Any]:
        """The target column, ``(n_rows,)``; ``KeyError`` when the job names none."""
        if self.target is None:
            raise KeyError("this job names no target column")
        return self.data[self.target]

    @abstractmethod
    def progress(self, fraction: float, stage: str | None = None) -> None:
        """Report how far it is, 0 to 1, and what it is doing."""

    @abstractmethod
    def log(self, text: str) -> None:
        """Add a line to the job's log; ``print`` and :mod:`logging` arrive there as well."""

    @abstractmethod
    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record a metric of the model; the last value of a name is the version's."""

    @abstractmethod
    def log_figure(self, name: str, data: Mapping[str, Any]) -> None:
        """Record a figure as plain data; ``data["kind"]`` tells the console how to draw it."""


class Trainer(ABC):
    """An algorithm with a name and parameters that makes a model from a table."""

    name: ClassVar[str]
    Params: ClassVar[type[TrainerParams]] = TrainerParams

    @abstractmethod
    def train(self, run: Run) -> TrainedModel:
        """Train; raise :class:`~modelpool.core.errors.BadTrainingData` with advice when the data will not do."""

    @property
    def description(self) -> str:
        """One sentence for people: the first line of the docstring."""
        return (inspect.getdoc(self) or "").partition("\n")[0]


class FunctionTrainer(Trainer):
    """A trainer made from a function of a run and keyword parameters with defaults."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name  # type: ignore[misc]
        self.function = function
        self.Params = _params_of(name, function)  # type: ignore[misc]

    def train(self, run: Run) -> TrainedModel:
        """Call the function; what it returns, if not a :class:`TrainedModel`, is the fitted estimator."""
        result = self.function(run, **msgspec.structs.asdict(run.params))
        return result if isinstance(result, TrainedModel) else TrainedModel(result)

    @property
    def description(self) -> str:
        """One sentence for people: the first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


def trainer(name: str) -> Callable[[Callable[..., Any]], FunctionTrainer]:
    """Make a function a trainer and register it under ``name``."""

    def decorate(function: Callable[..., Any]) -> FunctionTrainer:
        return register_trainer(FunctionTrainer(name, function))

    return decorate


def register_trainer(plugin: T) -> T:
    """Register a trainer under its name; raise :class:`~modelpool.core.errors.ConfigurationError` when it is taken."""
    TRAINERS.register(plugin.name, plugin)
    return plugin


def _params_of(name: str, function: Callable[..., Any]) -> type[TrainerParams]:
    hints = get_type_hints(function)
    fields: list[Any] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        kind = hints.get(parameter.name, Any)
        has_default = parameter.default is not parameter.empty
        fields.append((parameter.name, kind, parameter.default) if has_default else (parameter.name, kind))
    made = msgspec.defstruct(
        f"{name.title().replace('_', '')}Params",
        fields,
        bases=(TrainerParams,),
        frozen=True,
        forbid_unknown_fields=True,
        kw_only=True,
    )
    return cast("type[TrainerParams]", made)
