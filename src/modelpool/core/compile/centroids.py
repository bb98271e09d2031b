"""Compiled forms of classifiers by the nearest mean, and of predictors that learn no more than one value."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelpool.core.compile.graph import MICROSOFT, Graph, Matrix, NotConvertible
from modelpool.core.compile.predictors import Prediction, arg_max, emits


@emits("NearestCentroid")
def _nearest_centroid(graph: Graph, model: Any, source: Matrix) -> Prediction:
    """Labels by distance alone where classes count alike, else by the score (``NearestCentroid.predict``)."""
    if model.metric != "euclidean":
        raise NotConvertible(f"NearestCentroid with metric={model.metric!r} has no compiled form")
    centroids = np.asarray(model.centroids_, dtype=np.float64)
    spread = np.where(model.within_class_std_dev_ != 0, model.within_class_std_dev_, 1.0)
    scaled = graph.op("Div", source.name, spread.reshape(1, -1))
    distances = graph.op("CDist", scaled, centroids / spread, domain=MICROSOFT, metric="sqeuclidean")
    scores = graph.op("Sub", 2.0 * np.log(model.class_prior_).reshape(1, -1), distances)
    labels = arg_max(graph, scores)
    if np.isclose(model.class_prior_, 1 / len(model.classes_)).all():
        plain = graph.op("CDist", source.name, centroids, domain=MICROSOFT, metric="sqeuclidean")
        labels = graph.op("ArgMin", plain, axis=1, keepdims=0)
    return Prediction(labels=labels, probabilities=graph.op("Softmax", scores, axis=1))
