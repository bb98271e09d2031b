"""BentoML as its documentation recommends: ``bentoml serve service:Plain`` or ``service:Batching``.

``MODEL_FILE`` names the pickled model. One worker each; access logs off, as a busy server has them.
"""

import os

import bentoml
import joblib
import numpy as np

_QUIET = {"access": {"enabled": False}}


@bentoml.service(workers=1, logging=_QUIET)
class Plain:
    """Each request by itself: ``{"rows": [[...]]}`` becomes ``[0]``."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL_FILE"])

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Labels of rows."""
        return self.model.predict(rows)


@bentoml.service(workers=1, logging=_QUIET)
class Batching:
    """Requests joined by the adaptive batching of BentoML; the sizes are those of its documentation."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL_FILE"])

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Labels of rows."""
        return self.model.predict(rows)
