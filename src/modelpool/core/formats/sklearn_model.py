"""A scikit-learn estimator that answers from arrays by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from modelpool.core.errors import PredictionFailed, UnloadableModel
from modelpool.core.formats.base import Arrays, LoadedModel, TableArrays
from modelpool.core.formats.sklearn_calls import EstimatorCalls
from modelpool.core.signature import ModelSignature, TensorSpec

_BY_NAME = frozenset({"ColumnTransformer", "FunctionTransformer"})


class SklearnModel(LoadedModel):
    """Puts the columns into the order and form of the fit, then asks the estimator."""

    def __init__(
        self, estimator: Any, signature: ModelSignature, *, size_bytes: int, warnings: tuple[str, ...] = ()
    ) -> None:
        self.signature = signature
        self.warnings = warnings
        self._estimator = estimator
        self._calls = EstimatorCalls(estimator)
        self._size_bytes = size_bytes
        self._specs = {spec.name: spec for spec in signature.inputs}
        self._names = _trained_names(estimator, self._specs) if signature.is_tabular else None
        self._is_float = all(spec.dtype == "float64" for spec in signature.inputs)
        for name in signature.methods:
            if not callable(getattr(estimator, name, None)) or name not in ("predict", "predict_proba"):
                raise UnloadableModel(
                    f"The signature names the output {name!r}, which {type(estimator).__name__} does not give."
                )

    def predict(self, inputs: Arrays, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Ask the estimator for the outputs."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = self._rows(inputs)
                return {name: _plain(found) for name, found in self._calls.ask(rows, outputs).items()}
        except MemoryError:
            raise
        except Exception as error:  # whatever else the estimator raises is about these rows
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise PredictionFailed(f"The model refuses these inputs: {lines[0][:300]}") from error

    def _rows(self, inputs: Arrays) -> Any:
        if self._names is None:
            return np.asarray(inputs[self.signature.inputs[0].name])
        if self._is_float and isinstance(inputs, TableArrays) and inputs.number_names == self._names:
            return self._frame(inputs.numbers)
        columns = {name: _column(inputs[name], self._specs[name]) for name in self._names}
        if not hasattr(self._estimator, "feature_names_in_"):
            kind = object if any(column.dtype == object for column in columns.values()) else np.float64
            return np.column_stack([column.astype(kind) for column in columns.values()])
        import pandas as pd

        return pd.DataFrame({name: pd.Series(column, dtype=column.dtype) for name, column in columns.items()})

    def _frame(self, numbers: Any) -> Any:
        """Return the rows of a table that is one matrix already; a frame of them where columns are chosen by name.

        Checking a frame of thirty columns takes scikit-learn half a millisecond, a matrix a tenth of that.
        """
        if not self._chooses_by_name:
            return numbers
        import pandas as pd

        return pd.DataFrame(numbers, columns=self._columns, copy=False)

    @cached_property
    def _chooses_by_name(self) -> bool:
        """Whether any part of the estimator may look at names; the columns are in the order of the fit."""
        if not hasattr(self._estimator, "feature_names_in_"):
            return False
        parts = [self._estimator, *self._estimator.get_params(deep=True).values()]
        kinds = {type(part) for part in parts if hasattr(part, "get_params")}
        return any(kind.__name__ in _BY_NAME or not kind.__module__.startswith("sklearn.") for kind in kinds)

    @cached_property
    def _columns(self) -> Any:
        import pandas as pd

        return pd.Index(list(self._names or ()))

    @property
    def size_bytes(self) -> int:
        """An estimate: three times the file."""
        return self._size_bytes


def _trained_names(estimator: Any, specs: dict[str, TensorSpec]) -> tuple[str, ...]:
    names = getattr(estimator, "feature_names_in_", None)
    trained = tuple(specs) if names is None else tuple(str(name) for name in names)
    if set(trained) != set(specs):
        raise UnloadableModel(
            f"The signature's inputs {sorted(specs)[:20]} are not the columns of the fit, {sorted(trained)[:20]}."
        )
    return trained


def _column(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """Return the column in the signature's type; integers and booleans stay float64 where something is missing."""
    array = np.asarray(array)
    if spec.dtype == "string":
        return array if array.dtype == object else array.astype(object)
    if spec.numpy_dtype.kind in "biu" and array.dtype.kind == "f" and np.isnan(array).any():
        return array
    return array.astype(spec.numpy_dtype, copy=False)


def _plain(result: Any) -> np.ndarray:
    """Return an array of a type that travels: text as objects."""
    array = np.asarray(result)
    return array.astype(object) if array.dtype.kind in "UST" else array
