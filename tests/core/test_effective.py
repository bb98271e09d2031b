"""Settings as rows for people."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelpool.core.effective import DEFAULT, MASK, effective_settings
from modelpool.core.quantities import Duration, Size


class Store(msgspec.Struct, tag_field="kind", tag="s3"):
    bucket: str
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None


class Provider(msgspec.Struct):
    name: str
    client_secret: str


class Server(msgspec.Struct):
    port: int = 8000
    secret_key_file: str = "secret_key"
    timeout: Duration = Duration(30)
    url: str = ""
    hosts: tuple[str, ...] = ("localhost",)


class Everything(msgspec.Struct):
    server: Server = msgspec.field(default_factory=Server)
    limit: Size = Size(1024)
    stores: dict[str, Store] = {}
    providers: tuple[Provider, ...] = ()


def rows(settings: Everything, **origins: str) -> dict[str, Any]:
    """Return them by key."""
    found = effective_settings(settings, origins={key.replace("__", "."): value for key, value in origins.items()})
    return {setting.key: setting for setting in found}


def test_each_key_has_its_value_default_unit_and_origin():
    found = rows(Everything(server=Server(port=9)), server__port="MODELPOOL_SERVER_PORT")
    port = found["server.port"]
    assert (port.value, port.default, port.origin, port.is_default) == (9, 8000, "MODELPOOL_SERVER_PORT", False)
    assert (found["server.timeout"].unit, found["server.timeout"].default) == ("seconds", 30.0)
    assert found["server.hosts"].value == ["localhost"]
    assert (found["limit"].value, found["limit"].unit, found["limit"].origin) == (1024, "bytes", DEFAULT)


def test_secrets_are_masked_wherever_they_are():
    store = Store(bucket="b", access_key_id="AKIA", secret_access_key="hunter1", session_token="hunter2")
    settings = Everything(
        server=Server(url="postgres://me:hunter3@host/db"),
        stores={"bucket": store},
        providers=(Provider("corp", "hunter4"),),
    )
    found = rows(settings)
    assert "hunter" not in repr(found)
    assert found["stores.bucket.secret_access_key"].value == found["stores.bucket.session_token"].value == MASK
    assert (found["stores.bucket.kind"].value, found["stores.bucket.access_key_id"].value) == ("s3", "AKIA")
    assert found["providers.0.client_secret"].value == MASK
    assert found["providers.0.name"].value == "corp"


@pytest.mark.parametrize("key", ["server.secret_key_file"])
def test_where_a_secret_is_kept_is_no_secret(key):
    assert rows(Everything())[key].value == "secret_key"


def test_a_secret_that_is_not_set_is_not_masked():
    assert rows(Everything(stores={"b": Store("b")}))["stores.b.session_token"].value is None
