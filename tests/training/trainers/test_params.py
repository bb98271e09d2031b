"""Parameters are checked before a job is queued."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from modelpool.core.trainer import TRAINERS
from modelpool.training.trainers.params import TabularClassifierParams, TabularParams, TabularRegressorParams

BOTH = (TabularClassifierParams, TabularRegressorParams)


@pytest.mark.parametrize(
    ("kind", "written", "name"),
    [
        (TabularClassifierParams, "knn", "k_nearest_neighbors"),
        (TabularClassifierParams, "RandomForestClassifier", "random_forest"),
        (TabularClassifierParams, "Logistic Regression", "logistic_regression"),
        (TabularRegressorParams, "linear", "linear_regression"),
        (TabularRegressorParams, "ElasticNet", "elastic_net"),
        (TabularRegressorParams, "SVR", "svm"),
    ],
)
def test_aliases_become_the_name(kind: type[TabularParams], written: str, name: str) -> None:
    assert msgspec.convert({"algorithm": written}, kind).algorithm == name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"algorithm": "forrest"}, "no algorithm 'forrest'"),
        ({"algorithm": "random_forst"}, "did you mean 'random_forest'"),
        (
            {"algorithm": "knn", "C": 1.0},
            r"k_nearest_neighbors does not take 'C' \(.*svm do\); it takes n_neighbors, weights",
        ),
        ({"n_estimators": 0}, "n_estimators"),
        ({"test_size": 0.9}, "test_size"),
        ({"unknown": 1}, "unknown"),
        ({"kernel": "magic"}, "kernel"),
    ],
)
@pytest.mark.parametrize("kind", BOTH)
def test_wrong_parameters_are_refused(kind: type[TabularParams], given: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(given, kind)


@pytest.mark.parametrize("kind", BOTH)
def test_every_hyperparameter_is_taken_by_an_algorithm_and_by_its_estimator(kind: type[TabularParams]) -> None:
    setup = {"algorithm", "test_size", "cv_folds", "seed", "drop_columns", "max_categories"}
    taken = {name for algorithm in kind.algorithms.values() for name in algorithm.takes}
    assert taken == set(kind.__struct_fields__) - setup
    for algorithm in kind.algorithms.values():
        known = algorithm.build({}, seed=0).get_params()
        assert {algorithm.renamed.get(name, name) for name in algorithm.takes} <= known.keys()


@pytest.mark.parametrize("kind", BOTH)
def test_schema_accepts_names_and_aliases(kind: type[TabularParams]) -> None:
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]["algorithm"]
    names, others = (choice["enum"] for choice in schema["anyOf"])
    assert names == list(kind.algorithms)
    for other in others:
        assert kind(algorithm=other).algorithm in names
    assert len({*names, *others}) == len(names) + len(others)


def test_trainers_are_installed_under_their_names() -> None:
    for name in ("tabular_classifier", "tabular_regressor"):
        assert TRAINERS.get(name).name == name
        assert TRAINERS.get(name).description.startswith("Predict a ")


def test_importing_trainers_and_tables_is_cheap() -> None:
    modules = "modelpool.training.tables, " + ", ".join(
        f"modelpool.training.trainers.tabular_{kind}" for kind in ("classifier", "regressor")
    )
    heavy = "{'pandas', 'sklearn', 'pyarrow', 'scipy', 'onnx', 'skl2onnx', 'onnxruntime'}"
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_job_uses_one_thread_although_it_loads_the_libraries_itself() -> None:
    code = """
import pandas as pd
from threadpoolctl import threadpool_info
from modelpool.core.testing.recording_run import RecordingRun
from modelpool.training.trainers.tabular_regressor import TabularRegressor

class WatchedRun(RecordingRun):
    def progress(self, fraction, stage=None):
        print([(item["user_api"], item["num_threads"]) for item in threadpool_info()])

data = pd.DataFrame({"x": range(40), "y": range(40)})
params = TabularRegressor.Params(algorithm="hist_gradient_boosting", n_estimators=2, cv_folds=0)
TabularRegressor().train(WatchedRun(data, target="y", params=params))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seen = {pair for line in done.stdout.splitlines() for pair in ast.literal_eval(line)}
    assert ("openmp", 1) in seen
    assert {threads for _, threads in seen} == {1}
