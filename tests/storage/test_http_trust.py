"""Whom the HTTP store trusts: certificates, and settings that could not work."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from modelpool.conf import decode_settings
from modelpool.core.errors import ConfigurationError, StoreUnavailable
from modelpool.storage.backends.webdav.client import Share
from modelpool.storage.backends.webdav.store import WebDAVStore


class Refusing(BaseHTTPRequestHandler):
    """Knows nobody."""

    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """That a client ends the connection is what is tested."""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 that nobody else has signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    path = tmp_path / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with QuietServer(("127.0.0.1", 0), Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def refused(share: Share) -> str:
    store = WebDAVStore(share)
    with pytest.raises(StoreUnavailable) as error:
        store.check()
    client = store._files._connection._client
    assert client is not None
    client.close()
    return str(error.value)


def test_an_unknown_certificate_is_refused_and_the_setting_named(url: str) -> None:
    assert "stores.dav.ca_file" in refused(Share("dav", url, timeout_s=5.0))


def test_a_certificate_that_ca_file_names_is_trusted(url: str, certificate: Path) -> None:
    assert "refuses the credentials" in refused(Share("dav", url, ca_file=str(certificate), timeout_s=5.0))


def test_a_ca_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "none.pem"):
        with pytest.raises(ConfigurationError, match=r"stores\.dav\.ca_file"):
            WebDAVStore(Share("dav", "https://127.0.0.1:9/", ca_file=str(tmp_path / name))).check()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://me:secret@example.com/"}, "url"),
        ({"url": "https://example.com/?x=1"}, "url"),
        ({"url": "https://example.com:99999/"}, "(?i)port"),
        ({"url": "https://example.com/", "password": "secret"}, "username"),
        ({"url": "https://example.com/", "username": "me", "bearer_token": "secret"}, "bearer_token"),
        ({"url": "https://example.com/", "bearer_token": "secret\n"}, "bearer_token"),
    ],
)
def test_settings_that_could_not_work_are_refused_without_showing_secrets(settings: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as error:
        decode_settings({"stores": {"dav": {"kind": "http", **settings}}}, source="modelpool.toml")
    assert "secret" not in str(error.value)
