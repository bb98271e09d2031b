"""Hosts, request ids, and how bodies are sent."""

from __future__ import annotations

import pytest

from modelpool.core.errors import Malformed
from modelpool.inference.requests import declared_length
from modelpool.server.connections.gate import HostCheck, check_head, request_id_of


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        (b"localhost", True),
        (b"LOCALHOST:8000", True),
        (b"localhost.", True),
        (b"[::1]:8000", True),
        (b"api.example.com", True),
        (b"example.com", True),
        (b"notexample.com", False),
        (b"example.com.evil.net", False),
        (b"localhost:80:80", False),
        (b"local host", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_host_is_ours(host, is_ours):
    check = HostCheck(["localhost", "[::1]", ".example.com"])
    assert [check([(b"accept", b"*/*"), (b"host", host)]) for _ in range(2)] == [is_ours] * 2


def test_request_without_host_is_not_ours():
    assert not HostCheck(["*"])([])


def test_memory_of_hosts_is_bounded():
    check = HostCheck(["localhost"])
    for number in range(5000):
        assert not check([(b"host", b"a%d" % number)])
    assert len(check._known) <= 1024
    assert check([(b"host", b"localhost")])


def test_harmless_request_id_is_kept_and_others_replaced():
    assert request_id_of([(b"x-request-id", b"trace-1.2_3")]) == "trace-1.2_3"
    made = {request_id_of([(b"x-request-id", sent)]) for sent in (b"", b"a b", b"a\n", b"x" * 65)}
    assert len(made) == 4
    assert all(len(item) == 32 for item in made)


@pytest.mark.parametrize("encoding", [b"gzip, chunked", b"identity", b"chunked, chunked", b""])
def test_bodies_encoded_for_the_way_are_refused(encoding):
    headers = [(b"host", b"localhost"), (b"transfer-encoding", encoding)]
    problem = check_head("POST", raw_path=b"/api", headers=headers, request_id="a")
    assert problem is not None
    assert (problem.status, problem.code) == (400, "malformed")
    with pytest.raises(Malformed):
        declared_length(dict(headers), limit=10)


def test_chunked_bodies_are_read():
    headers = [(b"host", b"localhost"), (b"transfer-encoding", b"Chunked")]
    assert check_head("POST", raw_path=b"/api", headers=headers, request_id="a") is None
    assert declared_length(dict(headers), limit=10) is None
