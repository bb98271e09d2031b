"""How large bodies may be, by route and type."""

from __future__ import annotations

import pytest

from modelpool.conf import decode_settings
from modelpool.server.bridge.limits import body_limit

_SETTINGS = decode_settings(
    {"limits": {"max_json": 10, "max_upload": 1000, "max_dataset": 2000}, "serving": {"max_body": 500}}, source="test"
)
_FILE = 2000 + (1 << 20)


@pytest.mark.parametrize(
    ("path", "content_type", "limit"),
    [
        ("/api/v1/tenants/a/datasets", "text/csv", _FILE),
        ("/api/v1/tenants/a/datasets", "application/x-ndjson", _FILE),
        ("/api/v1/tenants/a/datasets", "application/json; charset=utf-8", 10),
        ("/api/v1/tenants/a/models/m/train", "multipart/form-data; boundary=x", _FILE),
        ("/api/v1/tenants/a/models/m/train", "application/json", 10),
        ("/api/v1/tenants/a/models/m/versions", "application/octet-stream", _FILE),
        ("/api/v1/tenants/a/models/m/versions/1", "application/octet-stream", 10),
        ("/api/v1/tenants/a/models/m/predict", "text/csv", 500),
        ("/api/v1/tenants/a/models/m/aliases/x/predict", "application/json", 500),
        ("/console/tenants/acme/models/churn/upload/", "multipart/form-data; boundary=x", _FILE),
        ("/console/login/", "application/x-www-form-urlencoded", 10),
        ("/api/v1/tenants", "application/octet-stream", 10),
        ("/nowhere", "", 10),
    ],
)
def test_limit(path, content_type, limit):
    assert body_limit(path, content_type=content_type, settings=_SETTINGS) == limit
