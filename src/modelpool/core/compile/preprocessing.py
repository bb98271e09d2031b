"""Compiled forms of what stands before the predictor: column choice, imputation, scaling, encoding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelpool.core.compile.foreign import embed
from modelpool.core.compile.functions import UFUNCS
from modelpool.core.compile.graph import ML, Graph, Matrix, NeverConvertible, NotConvertible

Transform = Callable[[Graph, Any, Matrix], Matrix]


def emit_transformer(graph: Graph, step: Any, source: Matrix) -> Matrix:
    """Add one fitted transformer and return its output; raise :class:`NotConvertible` for an unknown one."""
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return source
    name = type(step).__name__
    own = TRANSFORMERS.get(name) if type(step).__module__.startswith("sklearn.") else None
    if not source.name and name not in _OF_TABLES:
        raise NotConvertible(f"numbers and text reach {name}")
    if own is None:
        return _foreign_transformer(graph, step, source)
    try:
        with graph.attempt():
            return own(graph, step, source)
    except NeverConvertible:
        raise
    except NotConvertible as error:
        try:
            return _foreign_transformer(graph, step, source)
        except NotConvertible:
            raise error from None


def _foreign_transformer(graph: Graph, step: Any, source: Matrix) -> Matrix:
    """Ask skl2onnx; its answer must be one matrix of doubles."""
    if not source.width:
        raise NotConvertible(f"no column reaches the step {type(step).__name__}")
    with graph.attempt():
        outputs = embed(graph, step, source)
        names_out = getattr(step, "get_feature_names_out", None)
        if len(outputs) != 1 or names_out is None:
            raise NotConvertible(f"the step {type(step).__name__} has no compiled form")
        return Matrix(graph.cast(outputs[0], np.float64), len(names_out()))


def choose_columns(
    graph: Graph, sources: Sequence[tuple[Matrix, Sequence[str]]], wanted: Sequence[str]
) -> list[Matrix]:
    """Return the wanted columns in order, as one matrix for each run of numbers or of text."""
    place = {name: (matrix, index) for matrix, names in sources for index, name in enumerate(names)}
    runs: list[tuple[Matrix, list[int]]] = []
    for name in wanted:
        if name not in place:
            raise NotConvertible(f"the column {name!r} is not among the inputs")
        matrix, index = place[name]
        if not runs or runs[-1][0] is not matrix:
            runs.append((matrix, []))
        runs[-1][1].append(index)
    return [graph.gather(matrix, columns) for matrix, columns in runs]


def _column_transformer(graph: Graph, step: Any, source: Matrix) -> Matrix:
    if not source.table:
        raise NotConvertible("a ColumnTransformer behind another step has no compiled form")
    parts = []
    for name, transformer, columns in step.transformers_:
        names = _column_names(step, columns)
        if not names or (isinstance(transformer, str) and transformer == "drop"):
            continue
        chosen = graph.concat(choose_columns(graph, source.table, names))
        parts.append(_weighted(graph, step, name, emit_transformer(graph, transformer, chosen)))
    return graph.concat(parts)


def _weighted(graph: Graph, step: Any, name: str, part: Matrix) -> Matrix:
    """Return the part times its weight among ``transformer_weights``, where there is one."""
    weight = (step.transformer_weights or {}).get(name)
    if weight is None or not part.width:
        return part
    return Matrix(graph.op("Mul", part.name, np.asarray(float(weight))), part.width)


def _column_names(step: Any, columns: Any) -> list[str]:
    known = list(getattr(step, "feature_names_in_", [f"x{i}" for i in range(step.n_features_in_)]))
    if callable(columns):
        raise NotConvertible("a column selector was not resolved by the fit")
    if isinstance(columns, slice):
        return [str(name) for name in known[columns]]
    chosen = np.atleast_1d(np.asarray(columns))
    if chosen.dtype == bool:
        return [str(name) for name, wanted in zip(known, chosen, strict=True) if wanted]
    return [str(known[item] if isinstance(item, int | np.integer) else item) for item in chosen.tolist()]


def _pipeline(graph: Graph, step: Any, source: Matrix) -> Matrix:
    for _, inner in step.steps:
        source = emit_transformer(graph, inner, source)
    return source


def _feature_union(graph: Graph, step: Any, source: Matrix) -> Matrix:
    return graph.concat(
        [
            _weighted(graph, step, name, emit_transformer(graph, inner, source))
            for name, inner in step.transformer_list
            if inner != "drop"
        ]
    )


def _simple_imputer(graph: Graph, step: Any, source: Matrix) -> Matrix:
    if source.is_text:
        return _text_imputer(graph, step, source)
    if not (isinstance(step.missing_values, float) and math.isnan(step.missing_values)):
        raise NotConvertible("SimpleImputer of numbers is compiled for missing_values=nan only")
    fill = np.asarray(step.statistics_, dtype=np.float64)
    kept = np.flatnonzero(~np.isnan(fill))
    chosen = graph.gather(source, kept.tolist())
    if not len(kept):
        return Matrix("", 0)
    filled = graph.op("Where", graph.op("IsNaN", chosen.name), fill[kept].reshape(1, -1), chosen.name)
    return _with_indicator(graph, step, source, Matrix(filled, len(kept)))


def _with_indicator(graph: Graph, step: Any, source: Matrix, filled: Matrix) -> Matrix:
    if not step.add_indicator:
        return filled
    features = step.indicator_.features_.tolist()
    if not features:
        return filled
    missing = graph.op("IsNaN", graph.gather(source, features).name)
    return graph.concat([filled, Matrix(graph.cast(missing, np.float64), len(features))])


def _text_imputer(graph: Graph, step: Any, source: Matrix) -> Matrix:
    if step.add_indicator:
        raise NotConvertible("add_indicator has no compiled form for text")
    if not isinstance(step.missing_values, str):
        return source  # text arrives with "" for missing, never with NaN or None, so nothing is imputed
    fill = np.asarray([str(item) for item in step.statistics_], dtype=object).reshape(1, -1)
    missing = graph.op("Equal", source.name, np.asarray([step.missing_values], dtype=object))
    return Matrix(graph.op("Where", missing, fill, source.name), source.width, is_text=True)


def _standard_scaler(graph: Graph, step: Any, source: Matrix) -> Matrix:
    name = _numbers(source, step)
    if step.with_mean:
        name = graph.op("Sub", name, np.asarray(step.mean_, dtype=np.float64))
    if step.with_std:
        name = graph.op("Div", name, np.asarray(step.scale_, dtype=np.float64))
    return Matrix(name, source.width)


def _robust_scaler(graph: Graph, step: Any, source: Matrix) -> Matrix:
    name = _numbers(source, step)
    if step.with_centering:
        name = graph.op("Sub", name, np.asarray(step.center_, dtype=np.float64))
    if step.with_scaling:
        name = graph.op("Div", name, np.asarray(step.scale_, dtype=np.float64))
    return Matrix(name, source.width)


def _min_max_scaler(graph: Graph, step: Any, source: Matrix) -> Matrix:
    name = graph.op("Mul", _numbers(source, step), np.asarray(step.scale_, dtype=np.float64))
    name = graph.op("Add", name, np.asarray(step.min_, dtype=np.float64))
    if step.clip:
        low, high = (np.float64(bound) for bound in step.feature_range)
        name = graph.op("Clip", name, np.asarray(low), np.asarray(high))
    return Matrix(name, source.width)


def _max_abs_scaler(graph: Graph, step: Any, source: Matrix) -> Matrix:
    return Matrix(graph.op("Div", _numbers(source, step), np.asarray(step.scale_, dtype=np.float64)), source.width)


def _feature_selection(graph: Graph, step: Any, source: Matrix) -> Matrix:
    return graph.gather(source, step.get_support(indices=True).tolist())


def _projection(graph: Graph, step: Any, source: Matrix) -> Matrix:
    if getattr(step, "whiten", False):
        raise NotConvertible("whitening has no compiled form")
    name = _numbers(source, step)
    if getattr(step, "mean_", None) is not None:
        name = graph.op("Sub", name, np.asarray(step.mean_, dtype=np.float64))
    components = np.asarray(step.components_, dtype=np.float64)
    return Matrix(graph.op("MatMul", name, components.T), len(components))


def _function_transformer(graph: Graph, step: Any, source: Matrix) -> Matrix:
    if step.func is None:
        return source
    operator = UFUNCS.get(step.func.__name__) if isinstance(step.func, np.ufunc) else None
    if operator is None or step.kw_args:
        raise NotConvertible("a FunctionTransformer with a function of its own has no compiled form")
    return Matrix(operator(graph, _numbers(source, step)), source.width)


def _binarizer(graph: Graph, step: Any, source: Matrix) -> Matrix:
    is_above = graph.op("Greater", _numbers(source, step), np.asarray(float(step.threshold)))
    return Matrix(graph.cast(is_above, np.float64), source.width)


def _polynomial_features(graph: Graph, step: Any, source: Matrix) -> Matrix:
    """Products of columns, multiplied in scikit-learn's order: from the last factor to the first."""
    factors = [[column for column, power in enumerate(row) for _ in range(power)] for row in step.powers_.tolist()]
    degree = max((len(row) for row in factors), default=0)
    if degree == 0:
        raise NotConvertible("PolynomialFeatures of degree 0 has no compiled form")
    ones = graph.op("Gather", graph.op("Add", graph.op("Mul", source.name, np.asarray(0.0)), np.asarray(1.0)),
                    np.asarray([0], dtype=np.int64), axis=1)  # fmt: skip
    padded = graph.op("Concat", _numbers(source, step), ones, axis=1)
    product = ""
    for place in range(degree):
        columns = [row[-1 - place] if place < len(row) else source.width for row in factors]
        factor = graph.op("Gather", padded, np.asarray(columns, dtype=np.int64), axis=1)
        product = graph.op("Mul", product, factor) if product else factor
    return Matrix(product, len(factors))


def _one_hot_encoder(graph: Graph, step: Any, source: Matrix) -> Matrix:
    """All columns at once: text as the index of its category, numbers as they are, compared with one constant each."""
    if step.handle_unknown == "error":
        raise NeverConvertible("OneHotEncoder(handle_unknown='error') refuses unknown categories, which no graph can")
    if step.handle_unknown == "warn" or getattr(step, "_infrequent_enabled", False):
        raise NotConvertible("OneHotEncoder with infrequent categories has no compiled form")
    columns, wanted = _hot_features(step)
    if not columns:
        return Matrix("", 0)
    if source.is_text:
        codes = _text_codes(graph, source, step.categories_)
        constants = np.asarray([wanted], dtype=np.int64)
    else:
        codes, constants = source.name, _number_categories(step, columns, wanted)
    spread = graph.op("Gather", codes, np.asarray(columns, dtype=np.int64), axis=1)
    return Matrix(graph.cast(graph.op("Equal", spread, constants), np.float64), len(columns))


def _hot_features(step: Any) -> tuple[list[int], list[int]]:
    """Return, for each output feature, its column and the index of its category."""
    columns, wanted = [], []
    for column, categories in enumerate(step.categories_):
        dropped = None if step.drop_idx_ is None else step.drop_idx_[column]
        for index in range(len(categories)):
            if dropped is None or index != dropped:
                columns.append(column)
                wanted.append(index)
    return columns, wanted


def _number_categories(step: Any, columns: list[int], wanted: list[int]) -> np.ndarray:
    values = [float(step.categories_[column][index]) for column, index in zip(columns, wanted, strict=True)]
    if any(math.isnan(value) for value in values):
        raise NotConvertible("OneHotEncoder with NaN among its numeric categories has no compiled form")
    return np.asarray([values], dtype=np.float64)


def _ordinal_encoder(graph: Graph, step: Any, source: Matrix) -> Matrix:
    if not source.is_text:
        raise NotConvertible("OrdinalEncoder of numbers has no compiled form")
    if step.handle_unknown == "error":
        raise NeverConvertible("OrdinalEncoder(handle_unknown='error') refuses unknown categories, which no graph can")
    if getattr(step, "_infrequent_enabled", False):
        raise NotConvertible("OrdinalEncoder with infrequent categories has no compiled form")
    codes = graph.cast(_text_codes(graph, source, step.categories_), np.float64)
    if step.unknown_value == -1:
        return Matrix(codes, source.width)
    unknown = graph.op("Less", codes, np.asarray(0.0))
    return Matrix(graph.op("Where", unknown, np.asarray(float(step.unknown_value)), codes), source.width)


def _text_codes(graph: Graph, source: Matrix, categories: Sequence[Any]) -> str:
    """Return ``(n_rows, width)`` int64: the index of each text in its column's categories, -1 for an unknown one."""
    if any(not all(isinstance(item, str) for item in known) for known in categories):
        raise NotConvertible("an encoder learned categories that are not text, or missing values other than ''")
    columns = []
    for index, known in enumerate(categories):
        column = graph.gather(source, [index])
        keys = [str(item) for item in known]
        columns.append(
            graph.op(
                "LabelEncoder",
                column.name,
                domain=ML,
                keys_strings=keys,
                values_int64s=list(range(len(keys))),
                default_int64=-1,
            )
        )
    return columns[0] if len(columns) == 1 else graph.op("Concat", *columns, axis=1)


def _numbers(source: Matrix, step: Any) -> str:
    if source.is_text:
        raise NotConvertible(f"{type(step).__name__} gets text")
    return source.name


TRANSFORMERS: dict[str, Transform] = {
    "ColumnTransformer": _column_transformer,
    "Pipeline": _pipeline,
    "FeatureUnion": _feature_union,
    "SimpleImputer": _simple_imputer,
    "StandardScaler": _standard_scaler,
    "RobustScaler": _robust_scaler,
    "MinMaxScaler": _min_max_scaler,
    "MaxAbsScaler": _max_abs_scaler,
    "VarianceThreshold": _feature_selection,
    "SelectKBest": _feature_selection,
    "SelectPercentile": _feature_selection,
    "SelectFromModel": _feature_selection,
    "PCA": _projection,
    "TruncatedSVD": _projection,
    "FunctionTransformer": _function_transformer,
    "Binarizer": _binarizer,
    "PolynomialFeatures": _polynomial_features,
    "OneHotEncoder": _one_hot_encoder,
    "OrdinalEncoder": _ordinal_encoder,
}
"""Compiled forms by the name of the scikit-learn class; what is missing here is left to skl2onnx."""

_OF_TABLES = frozenset({"ColumnTransformer", "FeatureUnion", "Pipeline"})
"""Steps that may stand before a table of numbers and text."""
