"""scikit-learn files: reviewed types and sound structure only; signatures derived for strangers' files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler

from modelpool.core.errors import PredictionFailed, UnloadableModel, UntrustedFormat
from modelpool.core.formats import FORMATS
from modelpool.core.formats.sklearn import build_estimator
from modelpool.core.formats.sklearn_types import REVIEWED_TYPES
from tests.core.compile.families import CLASSIFIERS, REGRESSORS, labels_of, pipeline, score_of, signature_for, table
from tests.core.formats import hostile

SKLEARN = FORMATS["sklearn"]

OTHERS: dict[str, Callable[[], Any]] = {
    "adaboost": lambda: AdaBoostClassifier(n_estimators=3),
    "bagging": lambda: BaggingClassifier(n_estimators=3),
    "stacking": lambda: StackingClassifier([("a", LogisticRegression()), ("b", GaussianNB())]),
    "voting": lambda: VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    "centroid": NearestCentroid,
    "pca": lambda: make_pipeline(PCA(2), LogisticRegression()),
    "polynomial": lambda: make_pipeline(PolynomialFeatures(), LogisticRegression()),
    "function": lambda: make_pipeline(FunctionTransformer(np.square), LogisticRegression()),
    "target": lambda: TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    "gaussian_process": lambda: GaussianProcessClassifier(kernels.Matern() + kernels.DotProduct()),
    "gaussian_regression": lambda: GaussianProcessRegressor(kernels.RBF() * kernels.ConstantKernel()),
    "selected": lambda: make_pipeline(SelectKBest(mutual_info_classif, k=2), LogisticRegression()),
    "temperature": lambda: CalibratedClassifierCV(LogisticRegression(), method="temperature", cv=3),
    "search": lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, scoring="roc_auc", cv=StratifiedKFold(3)),
    "search_of_losses": lambda: GridSearchCV(Ridge(), {"alpha": [1.0]}, scoring="neg_root_mean_squared_error", cv=3),
    "tweedie": lambda: TweedieRegressor(power=0),
    "discriminants": QuadraticDiscriminantAnalysis,
}


@pytest.mark.parametrize("family", [*CLASSIFIERS, *REGRESSORS])
def test_every_family_survives_the_file(family: str) -> None:
    frame = table(80)
    is_classifier = family in CLASSIFIERS
    model = pipeline({**REGRESSORS, **CLASSIFIERS}[family]())
    model.fit(frame, labels_of(frame, "text") if is_classifier else score_of(frame))
    loaded, notes = build_estimator(SKLEARN.save(model))
    assert notes == ()
    assert loaded.predict(frame).tolist() == model.predict(frame).tolist()


@pytest.mark.parametrize("name", OTHERS)
def test_other_estimators_of_scikit_learn_survive_the_file(name: str) -> None:
    """What people write trainers for: ensembles, searches by any usual score, Gaussian processes, chosen columns."""
    rows = np.random.default_rng(0).normal(size=(60, 3))
    target = (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(int)
    model = OTHERS[name]().fit(rows, target)
    loaded, notes = build_estimator(SKLEARN.save(model))
    assert notes == ()
    assert loaded.predict(rows).tolist() == model.predict(rows).tolist()


@pytest.mark.parametrize("kinds", [np.number, object, [object, bool], "category", float], ids=str)
def test_columns_chosen_by_type_survive_the_file(kinds: Any) -> None:
    frame = table(60)[["age", "city", "visits", "member"]].fillna({"age": 40.0}).astype({"city": object})
    chosen = make_column_transformer(
        (StandardScaler(), ["visits"]),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector("a|c|m", dtype_include=kinds)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas on what it will take for an object one day
        model = make_pipeline(chosen, LogisticRegression(max_iter=500)).fit(frame, frame["visits"] > 9)
    loaded, _ = build_estimator(SKLEARN.save(model))
    assert loaded.predict(frame).tolist() == model.predict(frame).tolist()


def test_derived_signature_knows_text_columns_and_classes() -> None:
    frame = table(80)
    model = pipeline(CLASSIFIERS["logistic"]()).fit(frame, labels_of(frame, "text"))
    signature = SKLEARN.signature_of(skops.io.dumps(model))
    kinds = {spec.name: spec.dtype for spec in signature.inputs}
    assert kinds["city"] == kinds["plan"] == "string"
    assert kinds["income"] == "float64"
    assert signature.classes == ("high", "low", "mid")
    assert signature.methods == ("predict", "predict_proba")


def test_derived_signature_of_a_matrix_model() -> None:
    signature = SKLEARN.signature_of(hostile.good_tree())
    assert [(spec.name, spec.shape) for spec in signature.inputs] == [("inputs", (-1, 3))]
    assert signature.classes == (False, True)


def test_strangers_load_our_file_with_skops_alone() -> None:
    frame = table(80)
    model = pipeline(REGRESSORS["ridge"]()).fit(frame, score_of(frame))
    data = SKLEARN.save(model, signature=signature_for(frame))
    assert skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data)).predict(frame).shape == (80,)


def test_all_cores_become_one() -> None:
    model = RandomForestClassifier(3, n_jobs=-1).fit([[0.0], [1.0]], [0, 1])
    loaded, _ = build_estimator(SKLEARN.save(model))
    assert loaded.n_jobs == 1
    assert loaded.estimators_[0].tree_.node_count == model.estimators_[0].tree_.node_count


@pytest.mark.parametrize(
    "changes",
    [
        {"left_child": 0},
        {"right_child": 10**6},
        {"left_child": -5},
        {"feature": 3},
        {"feature": -7},
        {"left_child": -1},
    ],
    ids=str,
)
def test_crooked_tree_is_refused_before_use(changes: dict[str, int]) -> None:
    with pytest.raises(UnloadableModel, match="tree"):
        build_estimator(hostile.altered_tree(**changes))


def test_forest_narrower_than_its_trees_is_refused() -> None:
    with pytest.raises(UnloadableModel, match="features"):
        build_estimator(hostile.forest_of_wider_trees())


def test_function_is_refused_by_name_when_saved_and_when_loaded() -> None:
    with pytest.raises(UntrustedFormat, match="savetxt"):
        SKLEARN.save(FunctionTransformer(np.savetxt))
    with pytest.raises(UntrustedFormat, match=r"savetxt.*ONNX"):
        build_estimator(hostile.unknown_type())


def test_saving_without_memory_does_not_blame_the_model() -> None:
    class Greedy:
        def __reduce__(self) -> Any:
            raise MemoryError

    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.coef_ = Greedy()
    with pytest.raises(MemoryError):
        SKLEARN.save(model)


@pytest.mark.slow
def test_zip_bomb_is_refused_by_its_directory() -> None:
    bomb = hostile.zip_bomb()
    assert len(bomb) < 1 << 20
    with pytest.raises(UnloadableModel, match="inflate"):
        build_estimator(bomb)


def test_transformer_alone_is_no_model() -> None:
    with pytest.raises(UnloadableModel, match="cannot predict"):
        build_estimator(skops.io.dumps(StandardScaler().fit([[1.0]])))


def test_array_archive_is_no_skops_file() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(3))
    with pytest.raises(UnloadableModel, match=r"schema\.json"):
        build_estimator(buffer.getvalue())


def test_rows_that_the_estimator_refuses_are_a_failed_prediction() -> None:
    data = hostile.good_tree()
    model = SKLEARN.load(data, SKLEARN.signature_of(data))
    with pytest.raises(PredictionFailed, match="features"):
        model.predict({"inputs": np.zeros((1, 9))}, ["predict"])


@pytest.mark.parametrize("name", sorted(REVIEWED_TYPES))
def test_reviewed_types_are_spelled_exactly(name: str) -> None:
    assert name.count(".") >= 1
    assert not any(word in name for word in ("*", "Function", "eval", "os."))
