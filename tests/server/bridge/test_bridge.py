"""Requests and answers through the bridge, on real connections."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.test import Client

from modelpool.server.bridge.spool import MEMORY_BYTES
from modelpool.tenants import services
from modelpool.tenants.models import Tenant, User
from tests.server.wsgi_app import MEBIBYTE
from tests.waiting import wait_until


@pytest.mark.parametrize("size", [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, 3 * MEBIBYTE + 7])
@pytest.mark.parametrize("in_chunks", [False, True])
def test_body_arrives_whole_with_its_length(bridge, size, in_chunks):
    body = os.urandom(size)
    with bridge.client() as client:
        content = (body[at : at + 10_000] for at in range(0, size, 10_000)) if in_chunks else body
        seen = client.post("/echo", content=content).json()
    assert (seen["size"], seen["CONTENT_LENGTH"]) == (size, str(size))
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()
    assert "HTTP_TRANSFER_ENCODING" not in seen


def test_body_arrives_beside_an_offer_of_http2(bridge):
    """As Java's client makes it with its first requests."""
    body = b"Upgrade: not a header\r\n\r\nUpgrade: neither"
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}
    with bridge.client() as client:
        for _ in range(2):
            seen = client.post("/echo", content=body, headers=offer).json()
            assert (seen["size"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_environment_is_as_pep_3333_has_it(bridge):
    with bridge.client() as client:
        raw = "/caf%C3%A9/a%2Fb%20c?q=%C3%A9&empty="
        seen = client.get(raw, headers={"X-Custom": "a", "Cookie": "a=1; b=2", "X_Forwarded_For": "1.2.3.4"}).json()
    assert seen["PATH_INFO"].encode("latin-1").decode() == "/café/a/b c"
    assert (seen["QUERY_STRING"], seen["SCRIPT_NAME"]) == ("q=%C3%A9&empty=", "")
    assert (seen["HTTP_X_CUSTOM"], seen["HTTP_COOKIE"]) == ("a", "a=1; b=2")
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert not any("FORWARDED" in name for name in seen)


def test_prefix_of_the_public_address_becomes_the_script_name(make_bridge):
    bridge = make_bridge(public_url="https://example.com/pool", allowed_hosts=["127.0.0.1"])
    with bridge.client() as client:
        for path in ("/pool/echo", "/echo"):
            seen = client.get(path).json()
            assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/pool", "/echo")


def test_forwarding_is_believed_from_trusted_proxies_only(make_bridge):
    headers = {"X-Forwarded-For": "9.9.9.9, 203.0.113.5, 10.0.0.2", "X-Forwarded-Proto": "https"}
    strangers, friends = make_bridge(), make_bridge(trusted_proxies=["127.0.0.1", "10.0.0.0/8"])
    with strangers.client() as stranger, friends.client() as friend:
        doubted, believed = stranger.get("/echo", headers=headers).json(), friend.get("/echo", headers=headers).json()
    assert (doubted["REMOTE_ADDR"], doubted["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    assert (believed["REMOTE_ADDR"], believed["wsgi.url_scheme"]) == ("203.0.113.5", "https")


def test_head_has_the_length_and_no_body(bridge):
    with bridge.client() as client:
        answer = client.head("/stream?mb=64")
        assert (answer.headers["content-length"], answer.content) == (str(64 * MEBIBYTE), b"")
        assert client.get("/echo").status_code == 200  # on the same connection
    assert bridge.application.streams[0].taken == 0
    assert bridge.application.streams[0].is_closed.wait(5)


@pytest.mark.parametrize("in_chunks", [False, True])
def test_body_over_the_limit_is_refused_before_the_application(make_bridge, in_chunks):
    bridge = make_bridge(limits={"max_json": "1MiB"})
    body = b"x" * (3 * MEBIBYTE)
    with bridge.client() as client:
        answer = client.post("/echo", content=iter([body]) if in_chunks else body)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "1048576" in answer.json()["detail"]
    assert answer.headers["connection"] == "close"
    assert bridge.application.calls == 0


def test_declared_length_is_refused_without_reading(make_bridge):
    bridge = make_bridge(limits={"max_json": "1MiB"})
    with bridge.connect() as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Cookie": "sessionid=nonsense"}])
@pytest.mark.django_db(transaction=True)
def test_large_files_are_read_from_nobody_without_a_key(bridge, headers):
    named = {"Content-Type": "text/csv", "Content-Length": 500 * MEBIBYTE, "Expect": "100-continue", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    with bridge.connect() as connection:
        path = "/api/v1/tenants/default/datasets"
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
    assert bridge.application.calls == 0


@pytest.fixture
def cookie_of(tenant, actor):
    """``cookie_of("viewer")`` is what the browser of a person of that role sends."""

    def sign_in(role: str) -> str:
        person = User.objects.create(username=role)
        services.set_member(tenant, user=person, role=role, actor=actor)
        browser = Client()
        browser.force_login(person)
        return f"sessionid={browser.session.session_key}"

    return sign_in


@pytest.mark.parametrize("path", ["/api/v1/tenants/{}/datasets", "/console/tenants/{}/datasets/upload/"])
@pytest.mark.django_db(transaction=True)
def test_large_files_are_read_from_nobody_who_may_not_store_them(bridge, tenant, make_key, cookie_of, path):
    viewer, scientist = cookie_of("viewer"), cookie_of("scientist")
    asked = [
        ({"Cookie": viewer}, tenant.name, 403),
        ({"Cookie": scientist}, "umbrella", 404),
        ({"Authorization": f"Bearer {make_key('viewer')}"}, tenant.name, 403),
        ({"Authorization": f"Bearer {make_key('scientist')}"}, "umbrella", 404),
    ]
    for credential, name, status in asked:
        named = {"Content-Type": "text/csv", "Content-Length": 500 * MEBIBYTE, "Expect": "100-continue", **credential}
        lines = "".join(f"{header}: {value}\r\n" for header, value in named.items())
        with bridge.connect() as connection:
            connection.sendall(f"POST {path.format(name)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode())
            assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())
    assert bridge.application.calls == 0
    with bridge.client() as client:
        client.post(path.format(tenant.name), content=b"x" * 2 * MEBIBYTE, headers={"Cookie": scientist})
        client.post(path.format(tenant.name), content=b"x", headers={"Cookie": viewer})
    assert bridge.application.calls == 2


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("role", ["scientist", "operator"])
@pytest.mark.django_db(transaction=True)
def test_no_more_is_read_than_a_tenants_quota_has_left(bridge, tenant, make_key, in_chunks, role):
    Tenant.objects.filter(pk=tenant.pk).update(max_storage_bytes=MEBIBYTE)
    body, small = b"x" * (8 * MEBIBYTE), b"x" * MEBIBYTE
    headers = {"Content-Type": "text/csv", "Authorization": f"Bearer {make_key(role, tenant)}"}
    path = f"/api/v1/tenants/{tenant.name}/datasets"
    with bridge.client() as client:
        answer = client.post(path, content=iter([body]) if in_chunks else body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_quota_exceeded")
        assert f"{MEBIBYTE} bytes are free" in answer.json()["detail"]
        assert bridge.application.calls == 0
        client.post(path, content=iter([small]) if in_chunks else small, headers=headers)
    assert bridge.application.calls == 1


@pytest.mark.django_db(transaction=True)
def test_another_tenants_quota_is_nobodys_business(bridge, tenant, other_tenant, make_key):
    Tenant.objects.filter(pk=other_tenant.pk).update(max_storage_bytes=0)
    headers = {"Content-Type": "text/csv", "Authorization": f"Bearer {make_key('scientist', tenant)}"}
    with bridge.client() as client:
        path, body = f"/api/v1/tenants/{other_tenant.name}/datasets", b"x" * 2 * MEBIBYTE
        answer = client.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")


@pytest.mark.django_db(transaction=True)
def test_large_files_are_read_from_a_key(bridge):
    from modelpool.tenants.actors import SYSTEM
    from modelpool.tenants.services import create_key

    _, secret = create_key(tenant=None, role="operator", actor=SYSTEM)
    body = b"x" * (9 * MEBIBYTE)  # more than limits.max_json
    with bridge.client(headers={"Authorization": f"Bearer {secret}", "Content-Type": "text/csv"}) as client:
        seen = client.post("/api/v1/tenants/default/datasets", content=body).json()
    assert seen["size"] == len(body)


def test_file_without_any_length_needs_one(bridge):
    with bridge.client() as client:
        answer = client.post("/api/v1/tenants/default/datasets", headers={"Content-Type": "text/csv"})
        assert answer.status_code == 411 or answer.request.headers.get("content-length") == "0"
    with bridge.connect() as connection:
        connection.sendall(
            b"POST /api/v1/tenants/a/datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 411 ")


def test_action_without_a_body_needs_no_length(bridge):
    with bridge.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_upload_that_breaks_off_leaves_nothing(bridge):
    with bridge.connect() as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 2_000_000
        )
        wait_until(lambda: bridge.connections, "the connection")
    wait_until(lambda: not bridge.connections, "the connection to be gone")
    assert list(bridge.tmp_dir.iterdir()) == []
    assert bridge.application.calls == 0


def test_slow_senders_hold_no_thread(make_bridge):
    bridge = make_bridge(threads=1)
    slow = [bridge.connect() for _ in range(20)]
    try:
        for connection in slow:
            connection.sendall(b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nabc")
        with bridge.client() as client:
            assert client.get("/echo").status_code == 200
        assert bridge.application.calls == 1
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.slow
def test_body_that_stops_coming_is_given_up(make_bridge):
    bridge = make_bridge(body_timeout=0.2)
    with bridge.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nabc")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
def test_slow_reader_does_not_fill_the_memory(bridge):
    with bridge.client() as client, client.stream("GET", "/stream?mb=256") as answer:
        stream = bridge.application.streams[0]
        pieces = answer.iter_raw()
        next(pieces)
        last = -1
        while stream.taken != last:  # until the server waits for us
            last = stream.taken
            threading.Event().wait(0.2)
        assert stream.taken < 32 * MEBIBYTE
        assert sum(map(len, pieces)) > 200 * MEBIBYTE
    assert stream.is_closed.wait(5)


def test_reader_that_leaves_ends_the_stream(bridge):
    with bridge.client() as client, client.stream("GET", "/stream?mb=256") as answer:
        next(answer.iter_raw())
    stream = bridge.application.streams[0]
    assert stream.is_closed.wait(10)
    assert stream.taken < 200 * MEBIBYTE


def test_events_arrive_as_they_happen_and_end_when_the_server_drains(make_bridge):
    bridge = make_bridge()
    with bridge.client() as client, client.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: first"
        bridge.application.gate.set()
        assert next(line for line in lines if line.startswith("data")) == "data: again"
        bridge.in_loop(bridge.lane.draining.set)
        for _ in lines:
            pass  # a whole end, or httpx raises
    assert bridge.application.streams[0].is_closed.wait(5)


def test_slow_downloads_leave_room_for_others_and_are_bounded(make_bridge):
    bridge = make_bridge(threads=1, max_streams=1)
    with bridge.client() as reader, reader.stream("GET", "/stream?mb=64") as answer:
        pieces = answer.iter_raw()  # kept: httpx closes the answer with the iterator
        next(pieces)
        with bridge.client() as client:
            assert client.get("/echo").status_code == 200
            refused = client.get("/stream?mb=64")
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1


def test_too_many_waiting_requests_are_refused(make_bridge):
    bridge = make_bridge(threads=1)
    with bridge.client(limits=httpx.Limits(max_connections=50)) as client, ThreadPoolExecutor(40) as pool:
        first = pool.submit(client.get, "/wait")
        assert bridge.application.entered.acquire(timeout=10)
        others = [pool.submit(client.get, "/echo") for _ in range(39)]
        wait_until(lambda: sum(other.done() for other in others) >= 7, "refusals")
        bridge.application.gate.set()
        statuses = [other.result().status_code for other in others]
        assert first.result().status_code == 200
    assert statuses.count(503) == 7
    assert statuses.count(200) == 32


def test_failure_is_a_problem_without_its_message(bridge, caplog):
    with bridge.client() as client:
        answer = client.get("/boom", headers={"X-Request-Id": "my-id.1"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "boom" not in answer.text
    assert answer.json()["request_id"] == "my-id.1"
    assert "RuntimeError: boom" in caplog.text


def test_short_file_whose_store_breaks_off_is_refused_while_it_can_be(bridge):
    with bridge.client() as client:
        answer = client.get("/broken-file")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert bridge.application.streams[0].is_closed.wait(5)


def test_failure_in_the_middle_cuts_the_connection(bridge, caplog):
    with bridge.client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/late-boom")
    assert bridge.application.streams[0].is_closed.wait(5)
    assert "late boom" in caplog.text


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("TRACE /echo", "", 405),
        ("GET /a/../echo", "", 400),
        ("GET /a//b", "", 400),
        ("GET /a%00b", "", 400),
        ("GET /a%5Cb", "", 400),
        ("GET /%ff", "", 400),
        ("GET /echo", "Authorization: a\r\nAuthorization: b\r\n", 400),
        ("GET /echo", "Host: 127.0.0.1\r\n", 400),
        ("POST /echo", "Content-Encoding: gzip\r\nContent-Length: 2\r\n", 415),
        ("POST /echo", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
        ("GET /echo", "A: b\r\n" * 101, 431),
        ("GET /echo", f"A: {'b' * 70_000}\r\n", 431),
    ],
)
def test_head_is_refused(bridge, line, headers, status):
    with bridge.connect() as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode())
        assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())
    assert bridge.application.calls == 0


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", ""])
def test_foreign_host_is_refused(bridge, host):
    with bridge.client() as client:
        answer = client.get("/echo", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_host")


def test_head_that_never_ends_is_refused(bridge):
    with bridge.connect() as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nA: ")
        try:
            for _ in range(100):
                connection.sendall(b"b" * 10_000)
        except OSError:
            pass  # it was cut, as it should be
        wait_until(lambda: not bridge.connections, "the connection to be closed")


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"GET /echo HTTP/1.1\r\nHost: 127"])
def test_slow_head_is_closed(make_bridge, sent):
    bridge = make_bridge(head_timeout=0.2)
    with bridge.connect() as connection:
        connection.sendall(sent)
        assert connection.recv(100) == b""


def test_connections_are_bounded(make_bridge):
    bridge = make_bridge(max_connections=3)
    held = [bridge.connect() for _ in range(3)]
    wait_until(lambda: len(bridge.connections) == 3, "the connections")
    with bridge.connect() as connection:
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in answer
    for connection in held:
        connection.close()
