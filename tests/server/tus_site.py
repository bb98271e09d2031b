"""A server that takes resumable uploads, and requests to it: what tests of one node and of several have in common."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from tusclient.client import TusClient

from tests.servers.modelpool import inherited_environment

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass
class Site:
    """A server, its clients' key, and the address of uploads."""

    url: str
    home: Path
    key: str
    pid: int

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def api(self) -> httpx.Client:
        """A client of the tenant's addresses."""
        return httpx.Client(base_url=f"{self.url}/api/v1/tenants/default", headers=self.headers, timeout=60)

    def tus(self) -> TusClient:
        """The client that people have."""
        return TusClient(f"{self.url}/api/v1/tenants/default/uploads", headers=self.headers)

    def begin(self, length: int, **metadata: str) -> str:
        """Begin an upload and return its address below the tenant's."""
        pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())
        with self.api as api:
            answer = api.post("/uploads", headers={**TUS, "Upload-Length": str(length), "Upload-Metadata": pairs})
        assert answer.status_code == 201, answer.text
        return "/uploads/" + answer.headers["location"].rpartition("/")[2]

    def offset(self, upload: str) -> int:
        """Return how far an upload is."""
        with self.api as api:
            return int(api.head(upload, headers=TUS).headers["upload-offset"])

    def patch(self, upload: str, offset: int, body: bytes, **headers: str) -> httpx.Response:
        """Send a piece."""
        with self.api as api:
            return api.patch(upload, content=body, headers={**PIECE, "Upload-Offset": str(offset), **headers})

    def cut(self, upload: str, offset: int, body: bytes, *, declared: int) -> socket.socket:
        """Send the beginning of a piece over a bare connection, which is left open."""
        parts = urlsplit(self.url)
        connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)
        head = (
            f"PATCH /api/v1/tenants/default{upload} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.key}\r\n"
            f"Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n"
            f"Content-Length: {declared}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        return connection


def run_command(home: Path, *arguments: str) -> Any:
    """Run a command on the home and return what it prints as JSON."""
    command = [sys.executable, "-P", "-m", "modelpool", *arguments, "--home", str(home), "--json"]
    done = subprocess.run(command, env=inherited_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sha256_header(body: bytes) -> dict[str, str]:
    """Return the header that says what the bytes of one request hash to."""
    return {"Upload-Checksum": "sha256 " + base64.b64encode(hashlib.sha256(body).digest()).decode()}
