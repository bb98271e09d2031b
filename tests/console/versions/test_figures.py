"""From figures as they are stored to what is drawn; what makes no sense is not drawn, and never an error."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from modelpool.console.charts import MOST_TOLD
from modelpool.console.figures import MOST_POINTS
from modelpool.console.templatetags.console_tags import percent
from modelpool.console.versions.confusion import MOST_CLASSES, confusion_of
from modelpool.console.versions.curves import MOST_CURVES, curve_drawings, importance_drawing, regression_drawings
from modelpool.console.versions.logged import logged_figures


def matrix_of(truth: Any, predicted: Any, n_classes: int) -> dict[str, Any]:
    matrix = metrics.confusion_matrix(truth, predicted, labels=range(n_classes)).tolist()
    return {"confusion_matrix": {"labels": [f"c{at}" for at in range(n_classes)], "matrix": matrix}}


class TestTheConfusionMatrix:
    def test_figures_of_each_class_are_those_of_scikit_learn(self) -> None:
        generator = np.random.default_rng(1)
        truth = generator.integers(0, 4, 500)
        predicted = np.where(generator.random(500) < 0.6, truth, generator.integers(0, 4, 500))
        confusion = confusion_of(matrix_of(truth, predicted, 4))
        assert confusion is not None
        report = metrics.precision_recall_fscore_support(truth, predicted)
        for at, line in enumerate(confusion.classes):
            assert (line.precision, line.recall, line.f1, line.rows) == pytest.approx([one[at] for one in report])
        assert confusion.share == pytest.approx(metrics.accuracy_score(truth, predicted))

    def test_many_classes_are_summed_up_without_losing_a_row(self) -> None:
        generator = np.random.default_rng(1)
        truth = np.minimum(generator.geometric(0.1, 2000) - 1, 59)
        confusion = confusion_of(matrix_of(truth, generator.permutation(truth), 60))
        assert confusion is not None
        assert len(confusion.rows) == len(confusion.labels) == MOST_CLASSES
        assert sum(row.total for row in confusion.rows) == confusion.total == 2000
        assert confusion.n_summed == 60 - MOST_CLASSES + 1
        assert confusion.labels[-1] == f"{confusion.n_summed} others"
        assert len(confusion.classes) == 60

    def test_a_single_row_can_be_seen_among_very_many(self) -> None:
        confusion = confusion_of({"confusion_matrix": {"labels": [False, True], "matrix": [[99_999, 1], [0, 0]]}})
        assert confusion is not None
        assert [cell.level for cell in confusion.rows[0].cells] == [8, 1]
        assert [cell.level for cell in confusion.rows[1].cells] == [0, 0]
        assert confusion.labels == ["false", "true"]

    @pytest.mark.parametrize(
        "figure",
        [{}, [], 5, None, {"labels": ["a"], "matrix": []}, {"labels": ["a"], "matrix": [[1, 2]]},
         {"labels": ["a"], "matrix": [["x"]]}, {"labels": ["a"], "matrix": [[-1]]}, {"labels": ["a"], "matrix": [1]},
         {"labels": "a", "matrix": [[1]]}, {"labels": ["a"] * 5000, "matrix": [[1]]},
         {"labels": ["a"], "matrix": [[None]]}],
    )  # fmt: skip
    def test_what_is_none_is_not_shown(self, figure: Any) -> None:
        assert confusion_of({"confusion_matrix": figure}) is None


class TestCurves:
    def test_of_many_classes_the_most_frequent_are_drawn(self) -> None:
        labels = [f"c{at}" for at in range(10)]
        figures = {
            "confusion_matrix": {"labels": labels, "matrix": np.diag(range(10)).tolist()},
            "roc": {"curves": [{"label": label, "fpr": [0, 1], "tpr": [0, 1], "auc": 0.5} for label in labels]},
        }
        (drawing,) = curve_drawings(figures)
        drawn = [one.name for one in drawing.chart.series if not one.is_muted]
        assert drawn == [f"c{at} (AUC 0.500)" for at in range(9, 9 - MOST_CURVES, -1)]
        assert "6 most frequent classes of 10" in drawing.help

    def test_a_long_curve_is_thinned_and_keeps_its_ends(self) -> None:
        values = np.linspace(0, 1, 20_001).tolist()
        (drawing,) = curve_drawings({"roc": {"curves": [{"label": "x", "fpr": values, "tpr": values}]}})
        points = drawing.chart.series[0].points
        assert (len(points), points[0], points[-1]) == (MOST_POINTS, (0, 0), (1, 1))
        told = drawing.chart.rows
        assert (len(told), told[0], told[-1]) == (MOST_TOLD, (0, [0]), (1, [1]))

    def test_the_line_to_compare_with_spans_all_points(self) -> None:
        against, along = regression_drawings({"predicted_vs_actual": {"actual": [1, 5], "predicted": [0, 9]}})
        assert against.chart.series[1].points == [(0, 0), (9, 9)]
        assert along.chart.series[0].points == [(0, 1), (9, -4)]
        assert along.chart.rows == [(0, [1]), (9, [-4])]

    @pytest.mark.parametrize("curves", [None, 5, [5], [{}], [{"fpr": 1, "tpr": 2}], [{"fpr": ["a"], "tpr": [{}]}]])
    def test_what_makes_no_sense_is_not_drawn(self, curves: Any) -> None:
        assert curve_drawings({name: {"curves": curves} for name in ("roc", "precision_recall", "calibration")}) == []

    @pytest.mark.parametrize(
        "figures",
        [None, 5, [], {"feature_importance": 1, "residuals": {"edges": [1], "counts": [2]}},
         {"feature_importance": {"features": [1], "importances": ["x"]},
          "predicted_vs_actual": {"actual": [None], "predicted": [1]},
          "residuals": {"edges": list(range(5001)), "counts": [1] * 5000}}],
    )  # fmt: skip
    def test_neither_are_other_figures(self, figures: Any) -> None:
        assert importance_drawing(figures) is None
        assert regression_drawings(figures) == []
        assert curve_drawings(figures) == []
        assert confusion_of(figures) is None


class TestLogged:
    def test_lines_and_bars_are_drawn_the_rest_is_told(self) -> None:
        figures = {
            "depths": {"kind": "line", "x": [2, 4], "y": [0.8, 0.9], "title": "Depths <b>"},
            "cities": {"kind": "bar", "x": ["Rome", "Oslo"], "y": [1, None]},
            "two": {
                "kind": "scatter",
                "series": [{"name": "a", "x": [1], "y": [2]}, {"name": "b", "x": [3], "y": [4]}],
            },
            "words": {"anything": [1, 2]},
            "empty": {"kind": "line", "x": [], "y": []},
            "roc": {"curves": []},
        }
        found = {one.name: one for one in logged_figures(figures)}
        assert found.keys() == {"depths", "cities", "two", "words", "empty"}
        depths, cities, two = (found[name].chart for name in ("depths", "cities", "two"))
        assert depths is not None
        assert (depths.title, depths.series[0].points) == ("Depths <b>", [(2, 0.8), (4, 0.9)])
        assert cities is not None
        assert cities.rows == [("Rome", [1]), ("Oslo", [None])]
        assert two is not None
        assert two.rows == [("a", [1, 2]), ("b", [3, 4])]
        assert '"anything"' in found["words"].text
        assert found["empty"].chart is None

    def test_very_long_data_are_cut(self) -> None:
        (one,) = logged_figures({"much": {"x": ["y" * 100] * 1000}})
        assert len(one.text) < 20_010


def test_an_integer_beyond_any_float_is_no_figure() -> None:
    beyond = 10**400
    figures = {
        "confusion_matrix": {"labels": ["a"], "matrix": [[beyond]]},
        "residuals": {"edges": [0, beyond], "counts": [beyond]},
        "feature_importance": {"features": ["a", "b"], "importances": [beyond, 1]},
        "roc": {"curves": [{"label": "a", "fpr": [0, beyond], "tpr": [0, 1], "auc": beyond}]},
        "own": {"kind": "line", "x": [1, beyond], "y": [beyond, 2]},
    }
    assert confusion_of(figures) is None
    assert regression_drawings(figures) == []
    importance, (roc,) = importance_drawing(figures), curve_drawings(figures)
    assert importance is not None
    assert (importance.chart.labels, roc.chart.series[0].points) == (["b"], [(0, 0)])
    assert json.dumps([one.chart.spec for one in logged_figures(figures) if one.chart])


def test_figures_beyond_all_bounds_leave_a_chart_that_can_be_read() -> None:
    most = 1.7e308
    figures = {
        "predicted_vs_actual": {"actual": [most, 1, 2], "predicted": [-most, 1, 3]},
        "residuals": {"edges": [-most, 0, most], "counts": [most, most]},
        "feature_importance": {"features": ["a", "b"], "importances": [most, -most]},
    }
    drawings = [*regression_drawings(figures), importance_drawing(figures)]
    specs = [drawing.chart.spec for drawing in drawings if drawing]
    assert len(specs) == 4
    assert all("e+308" not in json.dumps(spec["series"], allow_nan=False) for spec in specs)
    (along,) = (spec for spec in specs if spec["kind"] == "scatter" and spec["series"][0]["points"][0] == [1, 0])
    assert along["series"][0]["points"] == [[1, 0], [3, -1]]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.5, "50 %"),
        (0.934, "93.4 %"),
        (0.00001, "< 0.1 %"),
        (0.99999, "> 99.9 %"),
        (1.0, "100 %"),
        (0, "0 %"),
        (None, "–"),
    ],
)
def test_shares_are_written_in_percent(share: float | None, text: str) -> None:
    assert percent(share) == text
