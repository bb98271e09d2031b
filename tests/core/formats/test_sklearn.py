"""scikit-learn files: reviewed types and sound structure only; signatures derived for strangers' files."""

from __future__ import annotations

import io

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelpool.core.errors import PredictionFailed, UnloadableModel, UntrustedFormat
from modelpool.core.formats import FORMATS
from modelpool.core.formats.sklearn import build_estimator
from modelpool.core.formats.sklearn_types import REVIEWED_TYPES
from tests.core.compile.families import CLASSIFIERS, REGRESSORS, labels_of, pipeline, score_of, signature_for, table
from tests.core.formats import hostile

SKLEARN = FORMATS["sklearn"]


@pytest.mark.parametrize("family", [*CLASSIFIERS, *REGRESSORS])
def test_every_family_survives_the_file(family: str) -> None:
    frame = table(80)
    is_classifier = family in CLASSIFIERS
    model = pipeline({**REGRESSORS, **CLASSIFIERS}[family]())
    model.fit(frame, labels_of(frame, "text") if is_classifier else score_of(frame))
    loaded, notes = build_estimator(SKLEARN.save(model))
    assert notes == ()
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
