"""Every algorithm on every kind of table and label, and the figures it reports."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from modelpool.core.testing.recording_run import RecordingRun, RunCancelled
from modelpool.core.trainer import TrainedModel
from modelpool.training.trainers.algorithms import CLASSIFIERS
from modelpool.training.trainers.params import TabularClassifierParams
from modelpool.training.trainers.splitting import hold_out
from modelpool.training.trainers.tabular_classifier import TabularClassifier
from tests.training.trainers.frames import MIXED_COLUMNS, text

SMALL = {"n_estimators": 8, "max_depth": 4}


def params(algorithm: str, **given: Any) -> TabularClassifierParams:
    """Small models, two folds."""
    takes = CLASSIFIERS[algorithm].takes
    small = {name: value for name, value in SMALL.items() if name in takes}
    return TabularClassifierParams(algorithm=algorithm, **{"cv_folds": 2, **small, **given})


def classes_of(frame: pd.DataFrame, kind: str) -> Any:
    """Return labels of a kind that follow from ``score``."""
    terciles = np.digitize(frame.score, np.quantile(frame.score, [0.33, 0.66]))
    match kind:
        case "texts":
            return text(np.array(["low", "mid", "high"])[terciles])
        case "bool":
            return frame.score > frame.score.median()
        case "int":
            return pd.Series(terciles + 3)
    raise AssertionError(kind)


def train(frame: pd.DataFrame, labels: Any, **given: Any) -> tuple[TrainedModel, RecordingRun]:
    """Train on the features of ``frame`` and ``labels`` as the column ``label``."""
    data = frame.drop(columns="score").assign(label=labels)
    run = RecordingRun(data, target="label", columns=MIXED_COLUMNS, params=params(**given))
    return TabularClassifier().train(run), run


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", CLASSIFIERS)
@pytest.mark.parametrize(
    ("table", "kind"), [("mixed", "texts"), ("mixed", "bool"), ("mixed", "int"), ("numeric", "texts")]
)
def test_trains_on(request: pytest.FixtureRequest, algorithm: str, table: str, kind: str) -> None:
    frame = request.getfixturevalue(table)
    labels = classes_of(frame, kind)
    trained, run = train(frame, labels, algorithm=algorithm)
    assert trained.metrics["accuracy"] > 1.2 / labels.nunique()
    assert trained.metrics["cv_accuracy"] > 1.2 / labels.nunique()
    assert trained.metrics == run.metrics
    assert trained.signature is not None
    assert trained.sample is not None
    assert trained.signature.classes == tuple(sorted(labels.unique().tolist()))
    assert [type(value) for value in trained.signature.classes] == [type(labels.tolist()[0])] * labels.nunique()
    assert trained.signature.outputs[1].shape == (-1, labels.nunique())
    probabilities = trained.estimator.predict_proba(trained.sample)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert set(trained.estimator.predict(trained.sample)) <= set(labels)
    json.dumps([trained.figures, trained.metrics, trained.signature.to_dict()], allow_nan=False)


def test_signature_says_what_each_column_takes(mixed: pd.DataFrame) -> None:
    signature = train(mixed, classes_of(mixed, "bool"), algorithm="naive_bayes")[0].signature
    assert signature is not None
    assert {spec.name: (spec.dtype, spec.nullable) for spec in signature.inputs} == {
        "age": ("float64", True),
        "children": ("float64", True),
        "joined": ("datetime", True),
        "member": ("bool", False),
        "city": ("string", True),
    }
    assert [(spec.name, spec.dtype) for spec in signature.outputs] == [
        ("predict", "bool"),
        ("predict_proba", "float64"),
    ]
    assert signature.example is not None
    assert signature.example["joined"].endswith("Z")
    assert signature.example["member"] in (True, False)


def test_sample_has_gaps_in_every_nullable_column(numeric: pd.DataFrame, mixed: pd.DataFrame) -> None:
    for frame in (numeric, mixed):
        sample = train(frame, classes_of(frame, "bool"), algorithm="naive_bayes")[0].sample
        assert sample is not None
        nullable = sample.drop(columns="member", errors="ignore")
        assert (nullable.isna() | (nullable == "")).any().all()
        assert len(sample) <= 500


def test_hold_out_metrics_are_those_of_scikit_learn(numeric: pd.DataFrame) -> None:
    labels = classes_of(numeric, "texts")
    trained, _ = train(numeric, labels, algorithm="logistic_regression", seed=5)
    fit_on, measured = hold_out(len(labels), share=0.2, seed=5, strata=labels.to_numpy())
    features = numeric[["a", "b", "c"]]
    model = trained.estimator.__sklearn_clone__().fit(features.iloc[fit_on], labels.iloc[fit_on])
    truth, predicted = labels.iloc[measured], model.predict(features.iloc[measured])
    probabilities = model.predict_proba(features.iloc[measured])
    expected = {
        "accuracy": np.mean(truth == predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "f1_macro": metrics.f1_score(truth, predicted, average="macro"),
        "f1_weighted": metrics.f1_score(truth, predicted, average="weighted"),
        "precision_macro": metrics.precision_score(truth, predicted, average="macro"),
        "recall_macro": metrics.recall_score(truth, predicted, average="macro"),
        "log_loss": metrics.log_loss(truth, probabilities),
        "roc_auc": metrics.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"),
    }
    found = {name: value for name, value in trained.metrics.items() if not name.startswith("cv_")}
    assert found == pytest.approx(expected, abs=1e-12)
    assert trained.primary_metric == "accuracy"
    matrix = np.array(trained.figures["confusion_matrix"]["matrix"])
    assert matrix.tolist() == metrics.confusion_matrix(truth, predicted).tolist()
    assert np.trace(matrix) / matrix.sum() == pytest.approx(expected["accuracy"])


def test_curves_are_those_of_two_classes(mixed: pd.DataFrame) -> None:
    trained, _ = train(mixed, classes_of(mixed, "bool"), algorithm="logistic_regression")
    (roc,) = trained.figures["roc"]["curves"]
    assert roc["label"] is True
    assert roc["auc"] == trained.metrics["roc_auc"]
    assert np.trapezoid(roc["tpr"], roc["fpr"]) == pytest.approx(roc["auc"])
    (calibration,) = trained.figures["calibration"]["curves"]
    assert sum(calibration["count"]) == 24
    (precision_recall,) = trained.figures["precision_recall"]["curves"]
    assert 0 < precision_recall["average_precision"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["logistic_regression", "random_forest", "k_nearest_neighbors"])
def test_importance_is_by_original_column(mixed: pd.DataFrame, algorithm: str) -> None:
    trained, _ = train(mixed, text(np.where(mixed.city == "Rome", "yes", "no")), algorithm=algorithm)
    figure = trained.figures["feature_importance"]
    assert figure["features"][0] == "city"
    assert sorted(figure["features"]) == ["age", "children", "city", "joined", "member"]
    assert sum(figure["importances"]) == pytest.approx(1.0)


def test_final_model_is_fitted_on_all_rows(numeric: pd.DataFrame) -> None:
    labels = classes_of(numeric, "texts")
    trained, _ = train(numeric, labels, algorithm="naive_bayes", cv_folds=0)
    assert trained.estimator.named_steps["model"].class_count_.sum() == len(labels)
    assert not any(name.startswith("cv_") for name in trained.metrics)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["random_forest", "svm", "hist_gradient_boosting"])
def test_same_seed_gives_the_same_model(mixed: pd.DataFrame, algorithm: str) -> None:
    first, second = (train(mixed, classes_of(mixed, "int"), algorithm=algorithm, seed=3)[0] for _ in range(2))
    assert first.metrics == second.metrics
    assert first.figures == second.figures
    np.testing.assert_array_equal(
        first.estimator.predict_proba(first.sample), second.estimator.predict_proba(first.sample)
    )


def test_whole_floats_are_whole_classes_and_rows_without_one_are_left_out(numeric: pd.DataFrame) -> None:
    labels = classes_of(numeric, "int").astype(float)
    labels[::10] = np.nan
    trained, run = train(numeric, labels, algorithm="naive_bayes")
    assert trained.signature is not None
    assert trained.signature.classes == (3, 4, 5)
    assert trained.signature.outputs[0].dtype == "int64"
    assert any("12 of 120 rows are left out" in line for line in run.lines)


def test_truth_values_that_had_gaps_are_truth_values_again(numeric: pd.DataFrame) -> None:
    labels = text(np.where(numeric.score > 0, "True", "false"))
    labels[::10] = ""
    trained, _ = train(numeric, labels, algorithm="naive_bayes")
    assert trained.signature is not None
    assert trained.signature.classes == (False, True)


def test_folds_are_lowered_for_a_rare_class(numeric: pd.DataFrame) -> None:
    labels = text(["rare"] * 3 + ["a", "b", "c"] * 39)
    trained, run = train(numeric, labels, algorithm="naive_bayes", cv_folds=5)
    assert any("3 folds, not 5" in line for line in run.lines)
    assert "cv_accuracy" in trained.metrics


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [name for name in CLASSIFIERS if name != "svm"])
def test_class_of_two_rows_is_enough(numeric: pd.DataFrame, algorithm: str) -> None:
    trained, _ = train(numeric, text(["rare"] * 2 + ["a", "b"] * 59), algorithm=algorithm)
    assert "rare" in trained.estimator.classes_


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", CLASSIFIERS)
def test_truth_values_alone_are_features_enough(mixed: pd.DataFrame, algorithm: str) -> None:
    labels = text(np.where(mixed.member, "in", "out"))
    trained, _ = train(mixed[["member", "score"]], labels, algorithm=algorithm)
    assert trained.metrics["accuracy"] == 1.0


def test_rare_and_unknown_texts_count_as_one(mixed: pd.DataFrame) -> None:
    frame = mixed.assign(city=text([f"c{number % 12}" for number in range(len(mixed))]))
    trained, run = train(frame, classes_of(mixed, "bool"), algorithm="logistic_regression", max_categories=4)
    assert any("12 different texts" in line for line in run.lines)
    rows = trained.sample.iloc[[0, 0]].assign(city=text(["never seen", "c11"]))  # type: ignore[union-attr]
    first, second = trained.estimator.predict_proba(rows)
    assert first.tolist() == second.tolist()


def test_identifiers_are_left_out(mixed: pd.DataFrame) -> None:
    frame = mixed.assign(customer=text([f"customer {number}" for number in range(len(mixed))]))
    trained, run = train(frame, classes_of(mixed, "bool"), algorithm="naive_bayes")
    assert "customer" not in [spec.name for spec in trained.signature.inputs]  # type: ignore[union-attr]
    assert any("'customer' is not used" in line for line in run.lines)


def test_dropped_columns_are_no_inputs(mixed: pd.DataFrame) -> None:
    trained, _ = train(mixed, classes_of(mixed, "bool"), algorithm="naive_bayes", drop_columns=("city", "age"))
    assert [spec.name for spec in trained.signature.inputs] == ["children", "joined", "member"]  # type: ignore[union-attr]


def test_warnings_of_scikit_learn_are_lines_of_the_log(mixed: pd.DataFrame) -> None:
    _, run = train(mixed, classes_of(mixed, "texts"), algorithm="logistic_regression", max_iter=1)
    assert any(line.startswith("scikit-learn: lbfgs failed to converge") for line in run.lines)


def test_cancel_stops_at_every_report(numeric: pd.DataFrame) -> None:
    labels = classes_of(numeric, "bool")
    _, whole = train(numeric, labels, algorithm="naive_bayes")
    assert {"fitting", "evaluating", "fitting on all rows"} <= {stage for _, stage in whole.reports}
    data = numeric.drop(columns="score").assign(label=labels)
    for number in range(1, len(whole.reports) + 1):
        run = RecordingRun(data, target="label", params=params("naive_bayes"), cancel_after=number)
        with pytest.raises(RunCancelled):
            TabularClassifier().train(run)


def test_frames_of_pandas_own_types_are_understood(mixed: pd.DataFrame) -> None:
    frame = mixed.assign(city=mixed.city.replace("", None).astype("category"), children=mixed.children.astype("Int64"))
    frame["name"] = pd.Series(["x", "y", None] * 40, dtype="str")
    trained, _ = train(frame, classes_of(mixed, "texts").astype("str"), algorithm="random_forest")
    assert {spec.dtype for spec in trained.signature.inputs} == {"float64", "datetime", "bool", "string"}  # type: ignore[union-attr]
