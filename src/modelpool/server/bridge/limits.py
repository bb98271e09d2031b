"""How large the body of a request may be, by route and content type."""

from __future__ import annotations

import re

from modelpool.conf import Settings

_UPLOADS = re.compile(
    r"/api/v1/tenants/[^/]+/(datasets|models/[^/]+/(train|versions))/?"
    r"|/console/tenants/[^/]+/(datasets|models/[^/]+)/upload/"
    r"|/api/2\.0/mlflow-artifacts/.+"
)
_RESUMABLE = re.compile(r"/api/v1/tenants/[^/]+/uploads(/[^/]+)?/?")
_PIECE = "application/offset+octet-stream"
_TENANT_PREFIX = re.compile(r"/tenants/[^/]+/mlflow(?=/)")
_PREDICTS = re.compile(r"/api/v1/tenants/.+/predict/?|(/tenants/[^/]+)?/v2/.+/infer/?")
FORM_BYTES = 1024 * 1024
"""What a form may take besides its file."""


def body_limit(path: str, *, content_type: str, settings: Settings) -> int:
    """Return how many bytes are read: little of JSON, which is parsed in memory, much of files on upload routes."""
    limits = settings.limits
    path = _TENANT_PREFIX.sub("", path)
    if _PREDICTS.fullmatch(path):
        return settings.serving.max_body
    kind = content_type.partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    if (_UPLOADS.fullmatch(path) and not is_json) or (_RESUMABLE.fullmatch(path) and kind == _PIECE):
        return max(limits.max_upload, limits.max_dataset) + FORM_BYTES
    return limits.max_json


def is_piece(path: str, *, content_type: str) -> bool:
    """Say whether a body is a piece of a resumable upload, of which what came is kept when the rest does not."""
    found = _RESUMABLE.fullmatch(path)
    return found is not None and found[1] is not None and content_type.partition(";")[0].strip().lower() == _PIECE
