"""Rows that are joined come apart again as they were; what calls cost is learnt, and learnt anew."""

from __future__ import annotations

import numpy as np
import pytest

from modelpool.core.formats.base import TableArrays
from modelpool.core.runtime.batching import CostModel, bytes_of, join, layout_of, split


def table(*rows: list[float], texts: list[list[str]] | None = None) -> TableArrays:
    return TableArrays(
        numbers=np.array(rows, np.float64),
        number_names=("a", "b"),
        texts=None if texts is None else np.array(texts, object),
        text_names=() if texts is None else ("t",),
    )


def test_tables_are_joined_in_order_and_split_by_their_rows() -> None:
    parts = [table([1, 2], texts=[["x"]]), table([3, 4], [5, 6], texts=[["y"], ["z"]])]
    joined = join(parts)
    assert isinstance(joined, TableArrays)
    assert joined["a"].tolist() == [1, 3, 5]
    assert joined["t"].tolist() == ["x", "y", "z"]
    first, second = split({"predict": np.array([10, 20, 30])}, [1, 2])
    assert first["predict"].tolist() == [10]
    assert second["predict"].tolist() == [20, 30]


def test_arrays_by_name_are_joined_and_one_part_is_left_alone() -> None:
    parts = [{"x": np.zeros((1, 2))}, {"x": np.ones((2, 2))}]
    assert join(parts)["x"].tolist() == [[0, 0], [1, 1], [1, 1]]
    assert join(parts[:1]) is parts[0]


@pytest.mark.parametrize(
    "other",
    [
        ({"x": np.zeros((1, 2), np.float32)}, ("predict",)),
        ({"x": np.zeros((1, 3))}, ("predict",)),
        ({"y": np.zeros((1, 2))}, ("predict",)),
        ({"x": np.zeros((1, 2))}, ("predict", "predict_proba")),
        ({"x": np.array([["a", "b"]], object)}, ("predict",)),
    ],
)
def test_what_differs_in_type_shape_name_or_output_is_not_joined(other: tuple[dict[str, np.ndarray], tuple]) -> None:
    assert layout_of({"x": np.zeros((5, 2))}, ("predict",)) != layout_of(*other)


def test_tables_of_other_columns_are_not_joined() -> None:
    assert layout_of(table([1, 2]), ("predict",)) == layout_of(table([3, 4], [5, 6]), ("predict",))
    assert layout_of(table([1, 2]), ("predict",)) != layout_of(table([1, 2], texts=[["x"]]), ("predict",))


def test_texts_count_as_bytes() -> None:
    assert bytes_of(table([1, 2])) == 16
    assert bytes_of(table([1, 2], texts=[["x"]])) > 16


def test_calls_of_two_sizes_tell_the_fixed_part_from_the_rows() -> None:
    cost = CostModel()
    for rows in (1, 32, 1, 32):
        cost.observe(rows, 0.005 + 0.0001 * rows)
    assert cost.call_s == pytest.approx(0.005, rel=0.01)
    assert cost.row_s == pytest.approx(0.0001, rel=0.01)
    assert cost.estimate(100) == pytest.approx(0.015, rel=0.01)
    assert cost.rows_within(0.010) == pytest.approx(50, abs=1)
    assert cost.rows_within(0.004) == 0
    assert cost.rows_worth_joining() == pytest.approx(16 * 50, rel=0.05)


def test_rows_that_cost_as_much_together_are_not_worth_joining() -> None:
    cost = CostModel()
    for rows in (1, 32, 1, 32):
        cost.observe(rows, 0.01 * rows)
    assert cost.rows_worth_joining() == 1


def test_one_slow_call_is_forgiven_and_lasting_slowness_is_not() -> None:
    cost = CostModel()
    for _ in range(20):
        cost.observe(1, 0.00002)
    cost.observe(1, 2.0)
    assert cost.rows_within(0.001) >= 1
    for _ in range(4):
        cost.observe(1, 2.0)
    assert cost.rows_within(0.001) == 0
    for _ in range(60):
        cost.observe(1, 0.00002)
    assert cost.rows_within(0.001) >= 10
