"""A fitted estimator to one small ONNX file, with the proof that both answer alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelpool.core.compile.base import Compilation
from modelpool.core.signature import ModelSignature

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def compile_estimator(
    estimator: Any, *, signature: ModelSignature, sample: pd.DataFrame | np.ndarray
) -> Compilation:
    """Compile a fitted scikit-learn estimator or pipeline to ONNX and compare both on ``sample`` and on rows made from it.

    ``sample`` holds rows of the features as the estimator takes them. Never raises for an estimator that does not
    convert or does not answer alike: then ``data`` is ``None`` and ``parity.reason`` says why. It takes seconds for
    large models; the caller bounds the time. The file carries ``signature`` and loads with ``FORMATS["onnx"]``.
    """
    raise NotImplementedError
