"""Run inside an installation: register many distinct compiled models that differ by a constant; make keys.

``register_pool.py COUNT FORESTS ONNX_FILE`` registers ``COUNT`` models over two tenants, ``bench-0`` and ``bench-1``,
named ``m0``, ``m1`` …; the first ``FORESTS`` of each ten are forests of 100 trees, the rest linear. Model ``i`` answers
what the plain one does plus ``1000 × i``, so that an answer of another model is seen. ``ONNX_FILE`` gets the plain
forest. It prints a line of JSON: the keys, a row, and what the plain models answer to it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import django
import onnx
import pandas as pd
from onnx import helper
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from modelpool.core.compile.estimator import compile_estimator
from modelpool.core.formats.registry import FORMATS
from modelpool.core.signature import ModelSignature, TensorSpec

STEP = 1000.0


def compile_kinds(data: pd.DataFrame, signature: ModelSignature) -> dict[str, bytes]:
    """Return the plain models as compiled files."""
    target = data["mean area"] / 1000 + data["mean texture"] / 100
    estimators = {
        "linear": LinearRegression(),
        "forest": RandomForestRegressor(n_estimators=100, max_depth=5, random_state=0),
    }
    compiled = {}
    for kind, estimator in estimators.items():
        data_of_kind = compile_estimator(estimator.fit(data, target), signature=signature, sample=data).data
        assert data_of_kind is not None
        compiled[kind] = data_of_kind
    return compiled


def shifted(compiled: bytes, by: float) -> bytes:
    """Return the file of a model that answers ``by`` more."""
    model = onnx.load_from_string(compiled)
    output = model.graph.output[0]
    for node in model.graph.node:
        node.output[:] = ["before_shift" if name == output.name else name for name in node.output]
    model.graph.initializer.append(helper.make_tensor("shift", output.type.tensor_type.elem_type, [1], [by]))
    model.graph.node.append(helper.make_node("Add", ["before_shift", "shift"], [output.name]))
    return bytes(model.SerializeToString())


def main() -> None:
    """Do it."""
    count, forests = int(sys.argv[1]), int(sys.argv[2])
    data = load_breast_cancer(as_frame=True).data
    signature = ModelSignature(
        inputs=tuple(TensorSpec(name, "float64") for name in data.columns),
        outputs=(TensorSpec("predict", "float64"),),
        example={name: float(data[name].iloc[0]) for name in data.columns},
    )
    compiled = compile_kinds(data, signature)
    Path(sys.argv[3]).write_bytes(compiled["forest"])
    row = data.iloc[:1]
    plain = {kind: _predict(file, signature, row) for kind, file in compiled.items()}
    django.setup()
    keys = register(count, compiled, signature=signature, forests=forests)
    print(json.dumps({"keys": keys, "row": row.iloc[0].tolist(), "plain": plain, "step": STEP, "forests": forests}))


def _predict(file: bytes, signature: ModelSignature, row: pd.DataFrame) -> float:
    model = FORMATS["onnx"].load(file, signature)
    answer = model.predict({name: row[name].to_numpy() for name in row.columns}, ["predict"])
    return float(answer["predict"][0])


def register(count: int, compiled: dict[str, bytes], *, signature: ModelSignature, forests: int) -> list[str]:
    """Register the models; return a predictor's key for each of the two tenants."""
    from modelpool.registry import services as registry  # these need Django's apps
    from modelpool.registry.signing import worker_key
    from modelpool.storage import services as storage
    from modelpool.tenants import services as tenants
    from modelpool.tenants.actors import SYSTEM

    both = [tenants.create_tenant(f"bench-{number}", actor=SYSTEM) for number in range(2)]
    for number in range(count):
        tenant: Any = both[number % 2]
        file = shifted(compiled["forest" if number % 10 < forests else "linear"], STEP * number)
        model = registry.create_model(tenant, name=f"m{number}", actor=SYSTEM)
        artifact = storage.store_artifact(tenant, chunks=[file], store="default", filename="model.onnx")
        new = registry.NewVersion(
            format="onnx", serving_format="onnx", trust="trained", artifact=artifact, signature=signature
        )
        registry.register_version(model, new=new, actor=SYSTEM, activate="always", key=worker_key())
    return [tenants.create_key(tenant=tenant, role="predictor", actor=SYSTEM)[1] for tenant in both]


if __name__ == "__main__":
    main()
