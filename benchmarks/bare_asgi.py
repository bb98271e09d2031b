"""The limit: a bare ASGI callable that decodes, runs ONNX Runtime and encodes; no names, keys, checks or counters.

``ONNX_FILE=… uvicorn bare_asgi:app``
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
import numpy as np
import onnxruntime


class Body(msgspec.Struct):
    """Rows of numbers."""

    instances: list[list[float]]


class Answer(msgspec.Struct):
    """The same answer as Modelpool's."""

    predictions: list[int]
    model: str
    version: int


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["ONNX_FILE"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
outputs = [session.get_outputs()[0].name]
decode = msgspec.json.Decoder(Body).decode
encode = msgspec.json.Encoder().encode
model = os.environ.get("MODEL_NAME", "model")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer a prediction."""
    if scope["type"] != "http":
        return
    body = b""
    if scope["method"] == "POST":
        message = await receive()
        rows = np.array(decode(message["body"]).instances, np.float64)
        body = encode(Answer(session.run(outputs, {name: rows})[0].tolist(), model, 1))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
