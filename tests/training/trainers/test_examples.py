"""The examples of custom trainers, and the reference of the built-in ones, are true."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from modelpool.core.testing.recording_run import RecordingRun, RunCancelled
from modelpool.core.trainer import TRAINERS
from modelpool.training.trainers.algorithms import CLASSIFIERS, REGRESSORS
from modelpool.training.trainers.params import TabularClassifierParams, TabularRegressorParams

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "trainers"
REFERENCE = ROOT / "docs" / "reference" / "trainers.md"
HOWTO = ROOT / "docs" / "howto" / "custom-trainer.md"


@pytest.fixture(scope="module")
def examples() -> dict[str, ModuleType]:
    """Every example, imported once: a name can be registered once."""
    modules = {}
    for path in EXAMPLES.glob("*.py"):
        spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        modules[path.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[path.stem])
    return modules


def test_function_becomes_a_trainer(examples: dict[str, ModuleType], numeric: pd.DataFrame) -> None:
    ridge = TRAINERS.get("ridge")
    assert ridge is examples["ridge"].ridge
    run = RecordingRun(numeric, target="score", params=ridge.Params(alpha=0.5))  # type: ignore[call-arg]
    trained = ridge.train(run)
    assert trained.estimator[-1].alpha == 0.5
    assert run.metrics["cv_r2"] > 0.9


def test_class_is_a_trainer(examples: dict[str, ModuleType], numeric: pd.DataFrame) -> None:
    trainer = examples["tuned_forest"].TunedForest()
    data = numeric.assign(score=numeric.score > 0)
    params = trainer.Params(depths=(1, 3), n_estimators=5)
    run = RecordingRun(data, target="score", params=params)
    trained = trainer.train(run)
    assert trained.metrics["cv_accuracy"] == max(value for _, value, _ in run.history)
    assert trained.estimator.max_depth in (1, 3)
    with pytest.raises(RunCancelled):
        trainer.train(RecordingRun(data, target="score", params=params, cancel_after=3))


def test_howto_shows_the_examples_as_they_are() -> None:
    text = HOWTO.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for path in EXAMPLES.glob("*.py"):
        assert path.read_text(encoding="utf-8") in blocks


def test_reference_names_every_algorithm_and_parameter() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    names = {
        *CLASSIFIERS,
        *REGRESSORS,
        *TabularClassifierParams.__struct_fields__,
        *TabularRegressorParams.__struct_fields__,
    }
    names |= {alias for item in (*CLASSIFIERS.values(), *REGRESSORS.values()) for alias in item.aliases}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_reference_says_which_hyperparameters_each_algorithm_takes() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    for algorithm in (*CLASSIFIERS.values(), *REGRESSORS.values()):
        taken = ", ".join(f"`{name}`" for name in algorithm.takes) or "none"
        assert f"| `{algorithm.name}` |" in text
        assert f"| {taken} |" in text
