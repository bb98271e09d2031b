from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers.modelpool import serve_modelpool


@pytest.mark.slow
def test_a_body_that_comes_too_slowly_for_a_drain_gets_an_answer_that_says_so(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "modelpool.toml").write_text('[server]\ndrain_timeout = "1s"\n')
    with serve_modelpool(home, "--workers", "1", "--job-workers", "0") as served:
        parts = urlsplit(served.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
            connection.sendall(
                b"POST /api/v1/tenants/t/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # the body is waited for
            served.process.terminate()
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 503")
    assert b'"code":"overloaded"' in answer
    assert b"retry-after: 2" in answer.lower()
