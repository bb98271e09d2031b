"""Run inside an installation: register a compiled model of the breast-cancer table, as a worker would; make a key.

``register_model.py logistic|forest ONNX_FILE`` also writes the compiled file, so that others can serve the same bytes;
it prints a line of JSON: the key, and a row of the table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import django
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelpool.core.compile.estimator import compile_estimator
from modelpool.core.signature import ModelSignature, TensorSpec


def fit(kind: str) -> tuple[Any, pd.DataFrame]:
    """Return the fitted estimator and the table it was fitted on, ``(569, 30)``."""
    table = load_breast_cancer(as_frame=True)
    estimator = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "forest": RandomForestClassifier(n_estimators=100, random_state=0),
    }[kind]
    return estimator.fit(table.data, table.target), table.data


def signature_of(data: pd.DataFrame) -> ModelSignature:
    """Return the signature: one column of numbers per feature, a class and its probabilities."""
    return ModelSignature(
        inputs=tuple(TensorSpec(name, "float64") for name in data.columns),
        outputs=(TensorSpec("predict", "int64"), TensorSpec("predict_proba", "float64", (-1, 2))),
        classes=(0, 1),
        example={name: float(data[name].iloc[0]) for name in data.columns},
    )


def main() -> None:
    """Do it, for the tenant ``bench``."""
    kind, target = sys.argv[1:3]
    estimator, data = fit(kind)
    signature = signature_of(data)
    compiled = compile_estimator(estimator, signature=signature, sample=data).data
    assert compiled is not None
    Path(target).write_bytes(compiled)
    secret = register(kind, compiled, signature)
    print(json.dumps({"key": secret, "row": data.iloc[0].tolist()}))


def register(name: str, compiled: bytes, signature: ModelSignature) -> str:
    """Register the file as the active version of a model; return a key that may predict with it."""
    django.setup()
    from modelpool.registry import services as registry  # these need Django's apps
    from modelpool.registry.signing import worker_key
    from modelpool.storage import services as storage
    from modelpool.tenants import services as tenants
    from modelpool.tenants.actors import SYSTEM
    from modelpool.tenants.models import Tenant

    found = Tenant.objects.filter(name="bench").first()
    tenant = found or tenants.create_tenant("bench", actor=SYSTEM)
    model = registry.get_or_create_model(tenant, name=name, actor=SYSTEM)
    artifact = storage.store_artifact(tenant, chunks=[compiled], store="default", filename="model.onnx")
    new = registry.NewVersion(
        format="onnx", serving_format="onnx", trust="trained", artifact=artifact, signature=signature
    )
    registry.register_version(model, new=new, actor=SYSTEM, activate="always", key=worker_key())
    return tenants.create_key(tenant=tenant, role="predictor", actor=SYSTEM)[1]


if __name__ == "__main__":
    main()
