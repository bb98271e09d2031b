"""Which trainer is suggested for what is to be predicted."""

from __future__ import annotations

import pytest

from modelpool.console.training.target import suggest_trainer
from modelpool.training.models import TrainerInfo


@pytest.mark.parametrize(
    ("task", "offered", "suggested"),
    [
        ("classification", ["a_classifier", "tabular_classifier", "tabular_regressor"], "tabular_classifier"),
        ("classification", ["my_regressor", "my_classifier"], "my_classifier"),
        ("regression", ["tabular_classifier", "tabular_regressor"], "tabular_regressor"),
        ("none", ["tabular_classifier", "tabular_regressor", "kmeans"], "kmeans"),
        ("none", ["tabular_classifier"], "tabular_classifier"),
        ("regression", ["xgb"], "xgb"),
        ("regression", [], ""),
    ],
)
def test_the_trainer_of_the_task_is_suggested(task, offered, suggested):
    assert suggest_trainer(task, [TrainerInfo(name=name) for name in offered]) == suggested
