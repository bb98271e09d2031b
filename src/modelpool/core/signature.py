"""What goes into a model and what comes out: names, types and shapes, as they stand on the wire."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec
import numpy as np

DType = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "string", "datetime",
]  # fmt: skip
DTYPES: tuple[str, ...] = get_args(DType)


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=False):
    """One input or output.

    A column of a table has shape ``(-1,)``; a matrix of ``n`` features ``(-1, n)``; ``-1`` is "any number", the first
    dimension counts rows. ``datetime`` is ISO 8601 text on the wire and float64 seconds since 1970-01-01 UTC in arrays.
    ``nullable`` inputs may be missing: ``null`` on the wire, NaN or ``""`` in arrays.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...] = (-1,)
    nullable: bool = False

    @property
    def is_column(self) -> bool:
        """Whether this is one column of a table."""
        return len(self.shape) == 1

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The type of the arrays that a model receives: strings are objects, datetimes float64 seconds."""
        if self.dtype == "string":
            return np.dtype(object)
        if self.dtype == "datetime":
            return np.dtype(np.float64)
        return np.dtype(self.dtype)

    def misfit(self, array: np.ndarray[Any, Any]) -> str | None:
        """Return what is wrong with an output, ``None`` where its shape and kind of values are the promised ones.

        A number may be wider or narrower than promised, never text for a number or a fraction for an integer.
        """
        if array.ndim != len(self.shape):
            return f"has the shape {array.shape} for {self.shape}"
        if any(size not in (-1, found) for size, found in zip(self.shape[1:], array.shape[1:], strict=True)):
            return f"has the shape {array.shape} for {self.shape}"
        if _kind(array.dtype) != _kind(self.numpy_dtype):
            return f"holds values of type {array.dtype} for {self.dtype}"
        return None


def _kind(dtype: np.dtype[Any]) -> str:
    return "O" if dtype.kind in "OUS" else "i" if dtype.kind in "iu" else dtype.kind


class ModelSignature(msgspec.Struct, frozen=True, omit_defaults=False):
    """Inputs and outputs of a model; ``classes`` are a classifier's labels in the order of its probabilities.

    ``example`` is one valid row, input name to value as on the wire: warm-up and the console's form use it.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    classes: tuple[str | int | float | bool, ...] | None = None
    example: dict[str, Any] | None = None

    @property
    def is_tabular(self) -> bool:
        """Whether every input is a column, so that rows may be given as objects."""
        return all(spec.is_column for spec in self.inputs)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that can be asked for: the names of the outputs, ``predict`` first."""
        return tuple(spec.name for spec in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, as stored in the version's row and shown on the wire."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelSignature:
        """Read the JSON form; raise :class:`msgspec.ValidationError` with the path of what is wrong."""
        return msgspec.convert(data, cls)
