"""What a signature promises of outputs."""

from __future__ import annotations

import numpy as np
import pytest

from modelpool.core.signature import TensorSpec


@pytest.mark.parametrize(
    ("spec", "array"),
    [
        (TensorSpec("y", "float64"), np.zeros(3, np.float32)),
        (TensorSpec("y", "int32"), np.zeros(3, np.int64)),
        (TensorSpec("y", "bool"), np.zeros(3, bool)),
        (TensorSpec("y", "string"), np.array(["a"], object)),
        (TensorSpec("y", "string"), np.array(["a"])),
        (TensorSpec("y", "datetime"), np.zeros(3)),
        (TensorSpec("y", "float32", (-1, 2)), np.zeros((3, 2))),
        (TensorSpec("y", "float32", (-1, -1, 4)), np.zeros((3, 7, 4))),
    ],
)
def test_an_output_that_fits(spec: TensorSpec, array: np.ndarray) -> None:
    assert spec.misfit(array) is None


@pytest.mark.parametrize(
    ("spec", "array", "words"),
    [
        (TensorSpec("y", "float64"), np.zeros((3, 1)), "shape (3, 1) for (-1,)"),
        (TensorSpec("y", "float64", (-1, 2)), np.zeros(3), "shape (3,) for (-1, 2)"),
        (TensorSpec("y", "float64", (-1, 2)), np.zeros((3, 4)), "shape (3, 4) for (-1, 2)"),
        (TensorSpec("y", "float64"), np.array(["1"], object), "type object for float64"),
        (TensorSpec("y", "int64"), np.zeros(3), "type float64 for int64"),
        (TensorSpec("y", "float64"), np.zeros(3, np.complex128), "type complex128 for float64"),
        (TensorSpec("y", "string"), np.zeros(3), "type float64 for string"),
        (TensorSpec("y", "bool"), np.zeros(3, np.int8), "type int8 for bool"),
    ],
)
def test_one_that_does_not(spec: TensorSpec, array: np.ndarray, words: str) -> None:
    assert words in (spec.misfit(array) or "")
