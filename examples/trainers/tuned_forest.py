"""A trainer as a class: checked parameters, progress that can be cancelled, advice for bad data, a figure."""

from typing import Annotated

from msgspec import Meta
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from modelpool.core.errors import BadTrainingData
from modelpool.core.trainer import Run, TrainedModel, Trainer, TrainerParams


class TunedForest(Trainer):
    """A random forest whose depth is chosen by cross-validation."""

    name = "tuned_forest"

    class Params(TrainerParams):
        depths: tuple[Annotated[int, Meta(ge=1, le=100)], ...] = (2, 4, 8)
        n_estimators: Annotated[int, Meta(ge=1, le=1000, description="Number of trees.")] = 100

    def train(self, run: Run) -> TrainedModel:
        params: TunedForest.Params = run.params
        features = run.features.select_dtypes("number")
        if features.empty:
            raise BadTrainingData("This forest learns from columns of numbers, and there is none; add one.")
        scores = {}
        for step, depth in enumerate(params.depths):
            run.progress(step / len(params.depths), f"trying depth {depth}")
            scores[depth] = cross_val_score(self.build(run, depth), features, run.labels, cv=3).mean()
            run.log_metric("cv_accuracy", scores[depth], step=step)
        best = max(scores, key=scores.get)
        run.log(f"Depth {best} is best: {scores[best]:.3f}.")
        return TrainedModel(
            self.build(run, best).fit(features, run.labels),
            metrics={"cv_accuracy": scores[best]},
            primary_metric="cv_accuracy",
            figures={"depths": {"kind": "line", "x": list(scores), "y": list(scores.values())}},
        )

    def build(self, run: Run, depth: int) -> RandomForestClassifier:
        return RandomForestClassifier(run.params.n_estimators, max_depth=depth, random_state=run.seed)
