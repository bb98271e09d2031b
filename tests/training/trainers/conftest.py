"""Small tables that trainers are tried on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.training.trainers.frames import N_ROWS, text


@pytest.fixture(scope="session")
def mixed() -> pd.DataFrame:
    """Numbers, a date, a truth value and a text, with gaps; ``score`` follows from them, with some noise."""
    generator = np.random.default_rng(7)
    frame = pd.DataFrame({"age": generator.normal(40, 12, N_ROWS), "children": generator.integers(0, 4, N_ROWS)})
    frame["joined"] = 1.7e9 + generator.integers(0, 400, N_ROWS) * 86400.0 + generator.integers(0, 86400, N_ROWS)
    frame["member"] = generator.random(N_ROWS) < 0.5
    frame["city"] = text(generator.choice(["Paris", "Rome", "", "Köln"], N_ROWS))
    frame["score"] = frame.age / 12 + 2.0 * (frame.city == "Rome") + frame.member + generator.normal(0, 0.4, N_ROWS)
    frame.loc[::9, "age"] = np.nan
    frame.loc[::11, "joined"] = np.nan
    return frame


@pytest.fixture(scope="session")
def numeric(mixed: pd.DataFrame) -> pd.DataFrame:
    """Numbers alone, without gaps."""
    generator = np.random.default_rng(3)
    frame = pd.DataFrame(generator.normal(size=(N_ROWS, 3)), columns=["a", "b", "c"])
    frame["score"] = 2 * frame.a - frame.b + generator.normal(0, 0.3, N_ROWS)
    return frame
