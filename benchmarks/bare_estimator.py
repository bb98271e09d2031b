"""The same bare callable as ``bare_asgi.py`` around the estimator itself, which runs in the event loop.

``MODEL_FILE=model.joblib uvicorn bare_estimator:app``
"""

from __future__ import annotations

import os
from typing import Any

import joblib
import msgspec
import numpy as np


class Body(msgspec.Struct):
    """Rows of numbers."""

    instances: list[list[float]]


estimator = joblib.load(os.environ["MODEL_FILE"])
decode = msgspec.json.Decoder(Body).decode
encode = msgspec.json.Encoder().encode


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer a prediction."""
    if scope["type"] != "http":
        return
    body = b""
    if scope["method"] == "POST":
        message = await receive()
        rows = np.array(decode(message["body"]).instances, np.float64)
        body = encode({"predictions": estimator.predict(rows).tolist()})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
