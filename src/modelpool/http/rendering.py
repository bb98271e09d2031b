"""The one form of answers: JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

encode = msgspec.json.Encoder(enc_hook=str).encode


class JSONRenderer(BaseRenderer):
    """Structs, dates and ids as JSON."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return the body; ``None`` is an empty one."""
        return b"" if data is None else encode(data)


class AlwaysJSON(BaseContentNegotiation):
    """There is one form of an answer, whatever ``Accept`` says; routes with another choose it themselves."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Bodies are read by :mod:`modelpool.http.bodies`."""
        return None

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the only renderer."""
        return JSONRenderer(), JSONRenderer.media_type
