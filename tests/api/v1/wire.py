"""Requests as a client sends them, through all of Django's middleware."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

BASE = "/api/v1"


class Wire:
    """Sends requests with one key, or with none."""

    def __init__(self, key: str | None = None, *, base: str = BASE) -> None:
        self.key = key
        self.base = base
        self.client = Client()

    def __call__(
        self, method: str, path: str, data: Any = None, *, headers: dict[str, str] | None = None, **extra: Any
    ) -> Any:
        """Send; ``data`` that is not bytes goes as JSON."""
        sent = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        content_type = extra.pop("content_type", "application/json")
        body = data if isinstance(data, bytes) else b"" if data is None else json.dumps(data).encode()
        path = path if path.startswith(("/api", "http")) else self.base + path
        return self.client.generic(method, path, body, content_type, headers={**sent, **(headers or {})}, **extra)

    def get(self, path: str, **options: Any) -> Any:
        return self("GET", path, **options)

    def post(self, path: str, data: Any = None, **options: Any) -> Any:
        return self("POST", path, data, **options)

    def put(self, path: str, data: Any = None, **options: Any) -> Any:
        return self("PUT", path, data, **options)

    def patch(self, path: str, data: Any = None, **options: Any) -> Any:
        return self("PATCH", path, data, **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self("DELETE", path, **options)

    def send_form(self, path: str, parts: dict[str, Any], **options: Any) -> Any:
        """POST ``multipart/form-data``."""
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return self.client.post(self.base + path, parts, headers=headers, **options)


def problem(response: Any) -> dict[str, Any]:
    """Return the document of an error, after a look at its shape."""
    assert response["Content-Type"] == "application/problem+json", response.content[:500]
    assert response["Cache-Control"] == "no-store"
    document: dict[str, Any] = json.loads(response.content)
    assert {"type", "title", "status", "detail", "code"} <= document.keys()
    assert document["status"] == response.status_code
    assert document["type"] == f"urn:modelpool:problem:{document['code']}"
    assert "Traceback" not in document["detail"]
    return document


def body_of(response: Any) -> bytes:
    """Return the whole body, streamed or not."""
    return b"".join(response.streaming_content) if response.streaming else bytes(response.content)
