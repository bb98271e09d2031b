"""Functions of one number, and the way back through what a target was transformed with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelpool.core.compile.graph import Graph, Matrix, NotConvertible


def invert_transformer(graph: Graph, step: Any, source: Matrix) -> Matrix:
    """Add the way back through a fitted transformer, from what it gave to what it took."""
    name = type(step).__name__
    if name == "FunctionTransformer" and step.inverse_func is None:
        return source
    if name == "FunctionTransformer" and isinstance(step.inverse_func, np.ufunc):
        operator = UFUNCS.get(step.inverse_func.__name__)
        if operator is not None and not step.inv_kw_args:
            return Matrix(operator(graph, source.name), source.width)
    if name not in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"):
        raise NotConvertible(f"the way back through the {name} of a target has no compiled form")
    slope, offset = _inverse_line(step, name)
    values = source.name if slope is None else graph.op("Mul", source.name, np.asarray(slope, dtype=np.float64))
    if offset is not None:
        values = graph.op("Add", values, np.asarray(offset, dtype=np.float64))
    return Matrix(values, source.width)


def _inverse_line(step: Any, name: str) -> tuple[Any, Any]:
    """Return factor and summand of the way back; ``None`` for none."""
    if name == "StandardScaler":
        return step.scale_ if step.with_std else None, step.mean_ if step.with_mean else None
    if name == "RobustScaler":
        return step.scale_ if step.with_scaling else None, step.center_ if step.with_centering else None
    if name == "MinMaxScaler":
        return 1.0 / step.scale_, -step.min_ / step.scale_
    return step.scale_, None


UFUNCS: dict[str, Callable[[Graph, str], str]] = {
    "exp": lambda graph, value: graph.op("Exp", value),
    "expm1": lambda graph, value: graph.op("Sub", graph.op("Exp", value), np.asarray(1.0)),
    "log": lambda graph, value: graph.op("Log", value),
    "log1p": lambda graph, value: graph.op("Log", graph.op("Add", value, np.asarray(1.0))),
    "sqrt": lambda graph, value: graph.op("Sqrt", value),
    "square": lambda graph, value: graph.op("Mul", value, value),
}
"""NumPy's functions of one number, as targets and columns are often transformed with."""
