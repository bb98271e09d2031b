"""Estimator to ONNX, proven equal on data before it may serve."""

from modelpool.core.compile.base import Compilation, Parity
from modelpool.core.compile.estimator import compile_estimator

__all__ = ["Compilation", "Parity", "compile_estimator"]
