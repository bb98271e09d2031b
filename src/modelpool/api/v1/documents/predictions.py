"""Predictions on the wire, for the description of the API; :mod:`modelpool.core.codecs` reads and writes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Row = list[Any] | dict[str, Any]
Rows = Annotated[list[Row], Meta(description="Rows, as lists in the order of the inputs or as objects.")]
Columns = Annotated[dict[str, list[Any]], Meta(description="Columns by name.")]
Split = Annotated[dict[str, Any], Meta(description="pandas' `to_dict('split')`.")]
Records = Annotated[list[dict[str, Any]], Meta(description="pandas' `to_dict('records')`.")]


class PredictParams(msgspec.Struct, frozen=True):
    """What to ask of the model."""

    method: Literal["predict", "predict_proba"] = "predict"


class PredictRequest(msgspec.Struct, frozen=True):
    """Exactly one of the four forms of a table."""

    instances: Rows | UnsetType = UNSET
    inputs: Columns | UnsetType = UNSET
    dataframe_split: Split | UnsetType = UNSET
    dataframe_records: Records | UnsetType = UNSET
    params: PredictParams | UnsetType = UNSET


class PredictionDocument(msgspec.Struct, frozen=True):
    """One prediction a row; with ``predict_proba`` also a probability for each class."""

    predictions: list[Any]
    model: str
    version: int
    probabilities: list[list[float]] | UnsetType = UNSET
    classes: list[Any] | UnsetType = UNSET
