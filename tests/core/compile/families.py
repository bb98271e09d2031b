"""The algorithm families of the built-in trainers, fitted on a small table of mixed columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelpool.core.signature import ModelSignature, TensorSpec

N_ROWS = 240

CLASSIFIERS: dict[str, Any] = {
    "logistic": lambda: LogisticRegression(max_iter=500),
    "tree": lambda: DecisionTreeClassifier(max_depth=6, random_state=0),
    "forest": lambda: RandomForestClassifier(20, min_samples_leaf=2, random_state=0),
    "extra_trees": lambda: ExtraTreesClassifier(20, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=15, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=15, random_state=0),
    "neighbours": lambda: KNeighborsClassifier(5),
    "neighbours_weighted": lambda: KNeighborsClassifier(5, weights="distance"),
    "svm": lambda: CalibratedClassifierCV(SVC(random_state=0), ensemble=False, cv=3),
    "svm_ensemble": lambda: CalibratedClassifierCV(SVC(kernel="poly", random_state=0), cv=3),
    "svm_linear": lambda: CalibratedClassifierCV(SVC(kernel="linear", random_state=0), ensemble=False, cv=3),
    "bayes": GaussianNB,
}
REGRESSORS: dict[str, Any] = {
    "linear": LinearRegression,
    "ridge": Ridge,
    "tree": lambda: DecisionTreeRegressor(max_depth=6, random_state=0),
    "forest": lambda: RandomForestRegressor(20, random_state=0),
    "extra_trees": lambda: ExtraTreesRegressor(20, random_state=0),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=15, random_state=0),
    "histogram": lambda: HistGradientBoostingRegressor(max_iter=15, random_state=0),
    "neighbours": lambda: KNeighborsRegressor(5),
    "svm": SVR,
}

NUMBERS = ("age", "income", "visits", "member", "since")
TEXTS = ("city", "plan")


def table(n_rows: int = N_ROWS) -> pd.DataFrame:
    """Floats with gaps, integers, booleans, dates as seconds, and text with ``""`` for missing."""
    generator = np.random.default_rng(7)
    age = generator.normal(40, 12, n_rows)
    age[generator.random(n_rows) < 0.1] = np.nan
    since = generator.uniform(1.2e9, 1.7e9, n_rows)
    since[::17] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "city": generator.choice(np.array(["Oslo", "Bergen", "Tromsø", ""], dtype=object), n_rows),
            "income": generator.lognormal(10, 1, n_rows),
            "visits": generator.integers(0, 30, n_rows),
            "member": generator.random(n_rows) < 0.5,
            "plan": generator.choice(np.array(["a", "b"], dtype=object), n_rows),
            "since": since,
        }
    )


def score_of(frame: pd.DataFrame) -> np.ndarray:
    """A target that depends on every kind of column."""
    generator = np.random.default_rng(11)
    return np.asarray(
        frame["age"].fillna(40) / 12
        + np.log(frame["income"])
        + frame["visits"] / 10
        + frame["member"] * 1.0
        + (frame["city"] == "Oslo") * 1.5
        + generator.normal(0, 0.7, len(frame))
    )


def labels_of(frame: pd.DataFrame, kind: str) -> np.ndarray:
    """Labels of the named kind: binary or of three classes, as text, integers, booleans or floats."""
    score = score_of(frame)
    if kind == "bool":
        return score > np.median(score)
    if kind == "binary_text":
        return np.where(score > np.median(score), "yes", "no").astype(object)
    codes = np.digitize(score, np.quantile(score, [0.3, 0.7]))
    if kind == "int":
        return codes * 10 + 1
    if kind == "float":
        return codes + 1.0
    return np.array(["high", "low", "mid"], dtype=object)[codes]


LABEL_KINDS = ("bool", "binary_text", "text", "int", "float")


def pipeline(estimator: Any, *, scale: bool = True) -> Pipeline:
    """The shape of the built-in trainers' pipelines."""
    steps: list[tuple[str, Any]] = [("impute", SimpleImputer(strategy="median"))]
    if scale:
        steps.append(("scale", StandardScaler()))
    prepare = ColumnTransformer(
        [
            ("numbers", Pipeline(steps), list(NUMBERS)),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(TEXTS)),
        ]
    )
    return Pipeline([("prepare", prepare), ("model", estimator)])


def signature_for(frame: pd.DataFrame, *, classes: Any = None, has_probabilities: bool = True) -> ModelSignature:
    """The signature that a trainer gives such a pipeline."""
    kinds = {"age": "float64", "income": "float64", "visits": "int64", "member": "bool", "since": "datetime"}
    inputs = tuple(
        TensorSpec(name=name, dtype=kinds.get(name, "string"), nullable=name in ("age", "since", *TEXTS))  # type: ignore[arg-type]
        for name in frame.columns
    )
    if classes is None:
        return ModelSignature(inputs=inputs, outputs=(TensorSpec(name="predict", dtype="float64"),))
    labels = np.asarray(classes).tolist()
    dtype = {"O": "string", "U": "string", "b": "bool", "i": "int64", "f": "float64"}[np.asarray(classes).dtype.kind]
    outputs = [TensorSpec(name="predict", dtype=dtype)]  # type: ignore[arg-type]
    if has_probabilities:
        outputs.append(TensorSpec(name="predict_proba", dtype="float64", shape=(-1, len(labels))))
    return ModelSignature(inputs=inputs, outputs=tuple(outputs), classes=tuple(labels))
