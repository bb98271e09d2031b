"""Every kind of model that people train loads and predicts inside the jail, as it does outside."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from modelpool.core.compile.estimator import emit_model
from modelpool.core.compile.parity import as_arrays
from modelpool.core.errors import ModelpoolError
from modelpool.core.formats import FORMATS
from modelpool.core.runtime.jail.layers import probe_layers
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.core.signature import ModelSignature
from tests.core.compile.families import CLASSIFIERS, REGRESSORS, labels_of, pipeline, score_of, signature_for, table
from tests.core.formats.test_sklearn import OTHERS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(probe_layers().missing), reason="this kernel has not all layers of the jail"),
]


@pytest.fixture(scope="module")
def host() -> Iterator[ModelHost]:
    made = ModelHost(1 << 30)
    made.preload("sklearn")
    yield made
    made.close()


def _fitted(family: str) -> tuple[Any, Any, ModelSignature]:
    frame = table(80)
    kind, _, name = family.partition(" ")
    if kind == "regression":
        model = pipeline(REGRESSORS[name]()).fit(frame, score_of(frame))
        return frame, model, signature_for(frame)
    model = pipeline(CLASSIFIERS[name]()).fit(frame, labels_of(frame, "text"))
    return frame, model, signature_for(frame, classes=model.classes_, has_probabilities=hasattr(model, "predict_proba"))


@pytest.mark.parametrize(
    "family", [*(f"classification {name}" for name in CLASSIFIERS), *(f"regression {name}" for name in REGRESSORS)]
)
def test_family_answers_alike_in_the_jail(family: str, host: ModelHost) -> None:
    frame, model, signature = _fitted(family)
    files = {"sklearn": FORMATS["sklearn"].save(model, signature=signature)}
    with suppress(ModelpoolError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files["onnx"] = emit_model(model, signature=signature)
    rows = as_arrays(frame, signature)
    for format, data in files.items():
        assert host.inspect(data).signature.methods == signature.methods
        loaded = host.load(data, format=format, signature=signature)
        answers = loaded.predict(rows, signature.methods)
        if format == "sklearn":
            assert answers["predict"].tolist() == model.predict(frame).tolist()
        else:
            assert len(answers["predict"]) == len(frame)
        if "predict_proba" in answers:
            np.testing.assert_allclose(answers["predict_proba"], model.predict_proba(frame), atol=1e-4)
        loaded.close()


@pytest.mark.parametrize("name", OTHERS)
def test_other_estimator_answers_alike_in_the_jail(name: str, host: ModelHost) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    model = OTHERS[name]().fit(rows, (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(int))
    data = FORMATS["sklearn"].save(model)
    signature = host.inspect(data).signature
    assert [spec.name for spec in signature.inputs] == ["inputs"]
    loaded = host.load(data, format="sklearn", signature=signature)
    assert loaded.predict({"inputs": rows}, ["predict"])["predict"].tolist() == model.predict(rows).tolist()
    loaded.close()
