"""The way of both tabular trainers: check, hold out, cross-validate, fit on all rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from modelpool.core.errors import BadTrainingData, FieldError
from modelpool.core.signature import ModelSignature
from modelpool.core.trainer import Run, TrainedModel
from modelpool.training.tables.read import check_target
from modelpool.training.trainers.features import FeaturePlan, plan_features, to_features
from modelpool.training.trainers.importance import feature_importance
from modelpool.training.trainers.labels import is_present
from modelpool.training.trainers.params import TabularParams
from modelpool.training.trainers.pipeline import build_pipeline
from modelpool.training.trainers.samples import draw_sample, to_example
from modelpool.training.trainers.splitting import Rows, count_folds, hold_out, make_folds
from modelpool.training.trainers.tasks import Task

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

MIN_ROWS = 10
_MIN_SVM_CLASS_ROWS = 5
_SLOW_ROWS = {"SVC": 10_000, "SVR": 10_000}


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows that have a label: features as the pipeline takes them, labels ``(n_rows,)``."""

    features: pd.DataFrame
    labels: np.ndarray[Any, Any]
    strata: np.ndarray[Any, Any] | None
    plan: FeaturePlan

    def __len__(self) -> int:
        return len(self.labels)


def train_tabular(run: Run, *, task: Task) -> TrainedModel:
    """Train the algorithm of ``run.params`` (a :class:`TabularParams`) and measure it.

    Metrics and figures are of a model fitted without the rows held out, those with ``cv_`` means over the folds of
    all rows; the model that is returned is then fitted on all rows.
    """
    from threadpoolctl import threadpool_limits

    params = cast("TabularParams", run.params)
    import_module(params.chosen.module)
    # One thread for each job: several run side by side, and threads that wait for a processor which another job has
    # spin (measured: 14 s instead of 0.9 s for a histogram boosting of 80,000 rows with four threads on four busy
    # processors). Only libraries that are loaded already can be limited, hence the import above.
    with threadpool_limits(limits=1):
        return _train(run, task=task, params=params)


def _train(run: Run, *, task: Task, params: TabularParams) -> TrainedModel:
    seed = run.seed if params.seed is None else params.seed
    run.progress(0.0, "checking the data")
    data = _read(run, task=task, params=params)
    _check_algorithm(data, params=params, run=run)
    metrics, figures = _measure_hold_out(run, data, task=task, params=params, seed=seed)
    metrics |= _cross_validate(run, data, task=task, params=params, seed=seed)
    run.progress(0.75, "fitting on all rows")
    pipeline = _fit(run, data, np.arange(len(data)), params=params, seed=seed)
    run.progress(0.95, "describing the model")
    return TrainedModel(
        pipeline,
        signature=_describe(pipeline, data, task=task),
        sample=draw_sample(data.features, plan=data.plan, seed=seed),
        metrics=metrics,
        primary_metric=task.primary_metric,
        figures=figures,
    )


def _read(run: Run, *, task: Task, params: TabularParams) -> TrainingSet:
    if run.target is None:
        detail = "A tabular trainer needs a target: name the column to predict."
        raise BadTrainingData(detail, errors=[FieldError("target", detail, "required")])
    check_target(run.target, columns=[str(name) for name in run.data.columns])
    present = is_present(run.labels)
    _check_rows(run, present)
    is_datetime = any(spec.name == run.target and spec.dtype == "datetime" for spec in run.columns)
    labels = task.read_labels(run.labels[present], is_datetime=is_datetime)
    rows = run.features[present].reset_index(drop=True)
    plan = plan_features(rows, specs=run.columns, dropped=params.drop_columns, max_categories=params.max_categories)
    for note in plan.notes:
        run.log(note)
    run.log(f"Training {params.algorithm} on {len(labels)} rows and {len(plan.names)} columns.")
    return TrainingSet(to_features(rows, names=plan.names), labels, task.strata(labels), plan)


def _check_rows(run: Run, present: np.ndarray[Any, Any]) -> None:
    n_rows, n_present = len(present), int(present.sum())
    if n_rows and not n_present:
        detail = f"Column {run.target!r} has no values at all; the column to predict must be filled in."
        raise BadTrainingData(detail, errors=[FieldError("target", detail, "empty_target")])
    if n_present < n_rows:
        run.log(f"{n_rows - n_present} of {n_rows} rows are left out: they have no value in {run.target!r}.")
    if n_present < MIN_ROWS:
        raise BadTrainingData(
            f"There are {n_present} rows with a value in {run.target!r}; at least {MIN_ROWS} are needed. Add rows."
        )


def _check_algorithm(data: TrainingSet, *, params: TabularParams, run: Run) -> None:
    name = params.chosen.class_name
    if name == "SVC" and int(np.unique(data.labels, return_counts=True)[1].min()) < _MIN_SVM_CLASS_ROWS:
        raise BadTrainingData(
            f"svm needs at least {_MIN_SVM_CLASS_ROWS} rows of each class, to calibrate its probabilities; "
            "add rows, or choose another algorithm."
        )
    if len(data) > _SLOW_ROWS.get(name, len(data)):
        run.log(f"{params.algorithm} takes time with the square of the rows; with {len(data)}, others are much faster.")


def _check_neighbors(params: TabularParams, *, n_rows: int) -> None:
    wanted = params.options.get("n_neighbors", 0)
    if wanted > n_rows:
        detail = f"n_neighbors is {wanted}, but one of the models is fitted on {n_rows} rows; choose fewer neighbours."
        raise BadTrainingData(detail, errors=[FieldError("params.n_neighbors", detail, "too_large")])


def _measure_hold_out(
    run: Run, data: TrainingSet, *, task: Task, params: TabularParams, seed: int
) -> tuple[dict[str, float], Mapping[str, Any]]:
    train, test = hold_out(len(data), share=params.test_size, seed=seed, strata=data.strata)
    run.progress(0.05, "fitting")
    pipeline = _fit(run, data, train, params=params, seed=seed)
    run.progress(0.2, "evaluating")
    features, labels = data.features.iloc[test], data.labels[test]
    metrics = task.measure(pipeline, features, labels)
    _log_metrics(run, metrics)
    figures = dict(task.draw(pipeline, features, labels, seed=seed))
    importance = feature_importance(pipeline, plan=data.plan, features=features, labels=labels, seed=seed)
    if importance is not None:
        figures["feature_importance"] = importance
    return metrics, figures


def _cross_validate(run: Run, data: TrainingSet, *, task: Task, params: TabularParams, seed: int) -> dict[str, float]:
    n_folds = count_folds(params.cv_folds, n_rows=len(data), strata=data.strata)
    if n_folds < params.cv_folds:
        run.log(f"Cross-validation uses {n_folds} folds, not {params.cv_folds}: the data allow no more.")
    if not n_folds:
        return {}
    scores: list[dict[str, float]] = []
    for number, (train, test) in enumerate(make_folds(len(data), n_folds=n_folds, seed=seed, strata=data.strata)):
        run.progress(0.25 + 0.5 * number / n_folds, f"cross-validating, fold {number + 1} of {n_folds}")
        pipeline = _fit(run, data, train, params=params, seed=seed)
        scores.append(task.measure(pipeline, data.features.iloc[test], data.labels[test]))
    common = [name for name in scores[0] if all(name in score for score in scores)]
    metrics = {f"cv_{name}": float(np.mean([score[name] for score in scores])) for name in common}
    metrics[f"cv_{task.primary_metric}_std"] = float(np.std([score[task.primary_metric] for score in scores]))
    _log_metrics(run, metrics)
    return metrics


def _fit(run: Run, data: TrainingSet, rows: Rows, *, params: TabularParams, seed: int) -> Pipeline:
    """Fit on some rows; what scikit-learn warns of goes to the job's log, once per fit."""
    _check_neighbors(params, n_rows=len(rows))
    labels = data.labels[rows]
    pipeline = build_pipeline(params, plan=data.plan, labels=labels, seed=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.fit(data.features.iloc[rows], labels)
    for text in dict.fromkeys(str(warning.message).partition("\n")[0] for warning in caught):
        run.log(f"scikit-learn: {text}")
    return pipeline


def _describe(pipeline: Pipeline, data: TrainingSet, *, task: Task) -> ModelSignature:
    return ModelSignature(
        inputs=data.plan.to_specs(),
        outputs=task.outputs(pipeline),
        classes=task.classes(pipeline),
        example=to_example(data.features, plan=data.plan),
    )


def _log_metrics(run: Run, metrics: Mapping[str, float]) -> None:
    for name, value in metrics.items():
        run.log_metric(name, value)
