"""``tabular_regressor``: predict a number from the columns of a table."""

from __future__ import annotations

from modelpool.core.trainer import Run, TrainedModel, Trainer
from modelpool.training.trainers.params import TabularRegressorParams
from modelpool.training.trainers.tabular import train_tabular
from modelpool.training.trainers.tasks import Regression


class TabularRegressor(Trainer):
    """Predict a number from numbers, texts, dates and truth values, with gaps."""

    name = "tabular_regressor"
    Params = TabularRegressorParams

    def train(self, run: Run) -> TrainedModel:
        """Train as ``run.params`` say; raise ``BadTrainingData`` with advice when the data will not do."""
        return train_tabular(run, task=Regression())
