"""Columns reach a model process under their own names, whether a frame says them or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from modelpool.core.formats import FORMATS
from modelpool.core.formats.base import TableArrays
from modelpool.core.runtime.jail.layers import probe_layers
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.core.runtime.process.table_names import names_sent, names_to_send, table_names
from modelpool.core.signature import ModelSignature, TensorSpec

SIGNATURE = ModelSignature(
    inputs=(
        TensorSpec(name="a", dtype="float64", shape=(-1,)),
        TensorSpec(name="city", dtype="string", shape=(-1,)),
        TensorSpec(name="b", dtype="float64", shape=(-1,)),
    ),
    outputs=(TensorSpec(name="predict", dtype="float64", shape=(-1,)),),
)


@pytest.mark.parametrize("numbers", [("a", "b"), ("b", "a"), ("a",)])
@pytest.mark.parametrize("texts", [("city",), ()])
def test_names_arrive(numbers: tuple[str, ...], texts: tuple[str, ...]) -> None:
    table = TableArrays(
        numbers=np.zeros((1, len(numbers))),
        number_names=numbers,
        texts=np.array([["x"] * len(texts)], object) if texts else None,
        text_names=texts,
    )
    known = table_names(SIGNATURE)
    said = names_to_send(table, known)
    assert (said == []) is (numbers == ("a", "b") and texts == ("city",))
    assert names_sent(said, known) == (numbers, texts)


@pytest.mark.slow
@pytest.mark.skipif(bool(probe_layers().missing), reason="this kernel has not all layers of the jail")
def test_columns_in_another_order_are_not_mixed_up() -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0, 0.0], "b": [0.0, 0.0, 1.0]})
    signature = ModelSignature(inputs=(SIGNATURE.inputs[0], SIGNATURE.inputs[2]), outputs=SIGNATURE.outputs)
    data = FORMATS["sklearn"].save(LinearRegression().fit(frame, [0.0, 1.0, 100.0]), signature=signature)
    host = ModelHost(1 << 30)
    try:
        model = host.load(data, format="sklearn", signature=signature)
        rows = np.array([[2.0, 3.0]])
        for names, expected in ((("a", "b"), 302.0), (("b", "a"), 203.0), (("a", "b"), 302.0)):
            found = model.predict(TableArrays(numbers=rows, number_names=names), ["predict"])
            assert found["predict"] == pytest.approx([expected])
        model.close()
    finally:
        host.close()
