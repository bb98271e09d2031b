"""Both built-in formats pass the contract check of formats."""

from __future__ import annotations

import numpy as np
import pytest

from modelpool.core.compile.estimator import emit_model
from modelpool.core.compile.parity import as_arrays
from modelpool.core.formats import FORMATS
from modelpool.core.testing.format_contract import FORMAT_CHECKS, Check, FormatCase
from tests.core.compile.families import CLASSIFIERS, REGRESSORS, labels_of, pipeline, score_of, signature_for, table


def _case(name: str, family: str) -> FormatCase:
    frame = table(80)
    is_classifier = family in CLASSIFIERS
    target = labels_of(frame, "text") if is_classifier else score_of(frame)
    model = pipeline((CLASSIFIERS if is_classifier else REGRESSORS)[family]()).fit(frame, target)
    signature = signature_for(frame, classes=model.classes_ if is_classifier else None)
    expected = {method: np.asarray(getattr(model, method)(frame)) for method in signature.methods}
    expected["predict"] = expected["predict"].astype(object if is_classifier else np.float64)
    saved = emit_model(model, signature=signature) if name == "onnx" else model
    arrays = as_arrays(frame, signature)
    columns = {spec.name: np.asarray(arrays[spec.name]).astype(spec.numpy_dtype) for spec in signature.inputs}
    return FormatCase(FORMATS[name], saved, signature, columns, expected)


@pytest.fixture(
    scope="module", params=[("onnx", "logistic"), ("onnx", "ridge"), ("sklearn", "forest"), ("sklearn", "svm")]
)
def case(request: pytest.FixtureRequest) -> FormatCase:
    family = request.param[1] if request.param != ("sklearn", "svm") else "linear"
    return _case(request.param[0], family)


@pytest.mark.slow
@pytest.mark.parametrize("check", FORMAT_CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Check, case: FormatCase) -> None:
    check(case)
