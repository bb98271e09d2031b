"""Two nodes of one installation on two NFS clients: what the first registers, the second predicts with at once.

Run in the guest by ``nfs_guest``. The database is one file on the guest's own disk; the nodes differ in the mount only.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import django
import httpx


def environment(home: Path, mount: Path) -> dict[str, str]:
    """Return what a node's process is told."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "modelpool.server.settings",
        "MODELPOOL_HOME": str(home),
        "MODELPOOL_DATABASE_URL": f"sqlite:///{home}/db.sqlite3",
        "MODELPOOL_STORES_DEFAULT_PATH": str(mount / "nodes"),
    }


def registering() -> None:
    """For each line read, register a version that adds the number on it; say the tenant's key first."""
    django.setup()
    from modelpool.core.signature import ModelSignature, TensorSpec
    from modelpool.registry import services as registry
    from modelpool.registry.signing import worker_key
    from modelpool.storage import services as storage
    from modelpool.tenants import services as tenants
    from modelpool.tenants.actors import SYSTEM
    from tests.fixtures.onnx_files import adds

    tenant = tenants.create_tenant("acme", actor=SYSTEM)
    say(tenants.create_key(tenant=tenant, role="predictor", actor=SYSTEM)[1])
    x, y = (TensorSpec(name, "float32", (-1, 1)) for name in ("x", "predict"))
    signature = ModelSignature(inputs=(x,), outputs=(y,))
    for line in sys.stdin:
        model = registry.get_or_create_model(tenant, name="sums", actor=SYSTEM)
        artifact = storage.store_artifact(tenant, chunks=[adds(float(line))], store="default", filename="model.onnx")
        new = registry.NewVersion(
            format="onnx", serving_format="onnx", trust="trained", artifact=artifact, signature=signature
        )
        say(registry.register_version(model, new=new, actor=SYSTEM, activate="always", key=worker_key()).number)


def predicting() -> None:
    """For each version read, look into the store, predict, and say what came; the key is the first line."""
    django.setup()
    from modelpool import conf
    from modelpool.inference.data_plane import DataPlane
    from modelpool.inference.fast_lane import FastLane
    from modelpool.storage.services import get_store

    key = sys.stdin.readline().strip()
    settings = conf.ServingSettings(preload=())
    plane = DataPlane(settings)
    plane.start()

    async def ask(version: str) -> Any:
        transport = httpx.ASGITransport(FastLane(_nobody, plane, settings=settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            path = f"/api/v1/tenants/acme/models/sums/versions/{version}/predict"
            answer = await client.post(path, json={"instances": [[1.0]]}, headers={"Authorization": f"Bearer {key}"})
            return [answer.status_code, answer.json().get("predictions", answer.text)]

    say("ready")
    for line in sys.stdin:
        say(json.dumps(asyncio.run(ask(line.strip()))))
        list(get_store("default").list())
    plane.close()


async def _nobody(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"handed on"})


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"register": registering, "predict": predicting}[sys.argv[1]]()
