"""Every algorithm family compiles behind mixed columns, and answers like its estimator also on rows it never saw."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from modelpool.core.compile import compile_estimator
from modelpool.core.compile.parity import TOLERANCE, as_arrays
from modelpool.core.formats import FORMATS
from tests.core.compile.families import (
    CLASSIFIERS,
    LABEL_KINDS,
    REGRESSORS,
    labels_of,
    pipeline,
    score_of,
    signature_for,
    table,
)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return table()


@pytest.fixture(scope="module")
def unseen() -> pd.DataFrame:
    rows = table(700).iloc[240:].reset_index(drop=True)
    rows.loc[:5, "city"] = "Atlantis"
    rows.loc[3:9, "plan"] = ""
    rows.loc[7:12, "age"] = np.nan
    return rows


def _fit(model: Pipeline, frame: pd.DataFrame, target: np.ndarray) -> Pipeline:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(frame, target)


CASES = [
    *[(name, "text") for name in CLASSIFIERS],
    *[(name, "bool") for name in CLASSIFIERS],
    *[("logistic", kind) for kind in LABEL_KINDS],
    *[("forest", kind) for kind in LABEL_KINDS],
]


@pytest.mark.parametrize(("family", "kind"), sorted(set(CASES)))
def test_classifier_compiles_to_equal_answers(
    family: str, kind: str, frame: pd.DataFrame, unseen: pd.DataFrame
) -> None:
    model = _fit(pipeline(CLASSIFIERS[family]()), frame, labels_of(frame, kind))
    signature = signature_for(frame, classes=model.classes_)
    made = compile_estimator(model, signature=signature, sample=frame)
    assert made.parity.equal, made.parity.reason
    assert made.data is not None
    assert made.parity.rows > len(frame)
    answers = FORMATS["onnx"].load(made.data, signature).predict(as_arrays(unseen, signature), signature.methods)
    assert answers["predict"].tolist() == model.predict(unseen).tolist()
    assert (
        answers["predict"].dtype.kind == {"text": "O", "binary_text": "O", "bool": "b", "int": "i", "float": "f"}[kind]
    )
    np.testing.assert_allclose(answers["predict_proba"], model.predict_proba(unseen), atol=TOLERANCE)


@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize("family", [name for name in REGRESSORS if name != "svm"])
def test_regressor_compiles_to_equal_answers(
    family: str, is_scaled: bool, frame: pd.DataFrame, unseen: pd.DataFrame
) -> None:
    model = _fit(pipeline(REGRESSORS[family](), scale=is_scaled), frame, score_of(frame))
    signature = signature_for(frame)
    made = compile_estimator(model, signature=signature, sample=frame)
    assert made.parity.equal, made.parity.reason
    assert made.parity.labels_equal is None
    assert made.data is not None
    answers = FORMATS["onnx"].load(made.data, signature).predict(as_arrays(unseen, signature), ["predict"])
    np.testing.assert_allclose(answers["predict"], model.predict(unseen), rtol=TOLERANCE)


def test_support_vector_regressor_compiles(frame: pd.DataFrame) -> None:
    model = _fit(pipeline(REGRESSORS["svm"]()), frame, score_of(frame))
    assert compile_estimator(model, signature=signature_for(frame), sample=frame).parity.equal


def test_forest_on_a_plain_matrix_compiles(frame: pd.DataFrame) -> None:
    from sklearn.ensemble import RandomForestClassifier

    from modelpool.core.signature import ModelSignature, TensorSpec

    rows = frame[["income", "visits"]].to_numpy(dtype=np.float64)
    model = RandomForestClassifier(10, random_state=0).fit(rows, labels_of(frame, "int"))
    signature = ModelSignature(
        inputs=(TensorSpec("x", "float64", (-1, 2)),),
        outputs=(TensorSpec("predict", "int64"), TensorSpec("predict_proba", "float64", (-1, 3))),
        classes=(1, 11, 21),
    )
    made = compile_estimator(model, signature=signature, sample=rows)
    assert made.parity.equal, made.parity.reason
    assert made.data is not None
    answers = FORMATS["onnx"].load(made.data, signature).predict({"x": rows}, ["predict"])
    assert answers["predict"].tolist() == model.predict(rows).tolist()


def test_compiled_trees_answer_numbers_beyond_float32_like_the_largest_that_fits(frame: pd.DataFrame) -> None:
    """scikit-learn's trees refuse such rows; the compiled ones take them to the side of all great numbers."""
    model = _fit(pipeline(CLASSIFIERS["forest"](), scale=False), frame, labels_of(frame, "int"))
    signature = signature_for(frame, classes=model.classes_)
    made = compile_estimator(model, signature=signature, sample=frame)
    assert made.data is not None
    loaded = FORMATS["onnx"].load(made.data, signature)
    great, greatest = frame.head(9).assign(income=1e300), frame.head(9).assign(income=3e38)
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="too large"):
        model.predict(great)
    answers = loaded.predict(as_arrays(great, signature), ["predict"])["predict"]
    assert answers.tolist() == model.predict(greatest).tolist()
