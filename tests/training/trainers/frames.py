"""Parts of the small tables that trainers are tried on."""

from __future__ import annotations

from typing import Any

import pandas as pd

from modelpool.core.signature import TensorSpec

N_ROWS = 120

MIXED_COLUMNS = (TensorSpec("joined", "datetime", nullable=True),)


def text(values: Any) -> pd.Series[Any]:
    """Return a column of objects: pandas would make its own string type of it."""
    return pd.Series([str(value) for value in values], dtype=object)
