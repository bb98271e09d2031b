"""What the fast lane refuses, over a real server: headers, bodies and connections as they come."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
import uvicorn

from modelpool import conf
from modelpool.core.codecs import json as json_codec
from modelpool.core.metrics import catalogue
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.fast_lane import FastLane
from modelpool.inference.observation.metrics import METERS
from modelpool.inference.requests import Head
from modelpool.server.connections.protocol import guarded, sweep_connections
from modelpool.tenants import services as tenant_services
from modelpool.tenants.actors import Actor
from modelpool.tenants.keys import make_secret
from modelpool.tenants.models import Tenant
from tests.inference.conftest import let_it_hear
from tests.waiting import wait_until

PATH = "/api/v1/tenants/acme/models/churn/predict"
BODY = b'{"instances": [[1, 1, 1]]}'


async def handed_on(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Server:
    """uvicorn in a thread, and the raw bytes of its answers; ``is_short`` lets the connection ask the lane itself."""

    def __init__(self, lane: FastLane, *, is_short: bool) -> None:
        self.lane = lane
        protocol = guarded(max_connections=100, begin=lane.begin if is_short else None)
        config = uvicorn.Config(lane, port=0, log_level="error", lifespan="off", http=protocol, ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    async def _run(self) -> None:
        sweep = asyncio.ensure_future(sweep_connections(self._server.server_state, head_timeout_s=10))
        await self._server.serve()
        sweep.cancel()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, raw: bytes) -> tuple[int, bytes]:
        """Send bytes, and return the status and everything of the first answer."""
        with closing(self.connect()) as connection:
            connection.sendall(raw)
            return read_answer(connection)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    return (int(data.split()[1]) if data else 0), data


def _length(data: bytes) -> int:
    found = re.search(rb"content-length: (\d+)", data)
    return int(found[1]) if found else 0


@pytest.fixture(params=[True, False], ids=["short way", "by ASGI"])
def server(
    request: pytest.FixtureRequest, plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant
) -> Iterator[Server]:
    register(tenant, "churn", yes_model)
    settings = conf.ServingSettings(max_body=conf.Size(2000))
    lane = FastLane(handed_on, plane, settings=settings, body_timeout_s=0.3)
    made = Server(lane, is_short=request.param)
    yield made
    made.stop()


@pytest.fixture
def key(transactional_db: None, make_key: Callable[..., str]) -> str:
    return make_key("predictor")


def request(
    key: str | None, *headers: str, body: bytes = BODY, method: str = "POST", path: str = PATH, length: bool = True
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"Content-Length: {len(body)}"] if length else []
    lines += (
        [] if any(line.lower().startswith("content-type") for line in headers) else ["Content-Type: application/json"]
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_answers_over_a_real_connection(server: Server, key: str) -> None:
    status, answer = server.ask(request(key))
    assert status == 200
    assert answer.endswith(b'{"predictions":["yes"],"model":"churn","version":1}')
    for header in (b"content-type: application/json", b"cache-control: no-store", b"x-content-type-options: nosniff"):
        assert header in answer


def test_a_head_that_comes_again_is_checked_again(
    server: Server, key: str, register: Any, no_model: bytes, tenant: Tenant, actor: Actor
) -> None:
    """What may have changed between two equal heads: the body, the key, the version that answers."""
    with closing(server.connect()) as connection:

        def ask(body: bytes = BODY) -> tuple[int, bytes]:
            connection.sendall(request(key, body=body))
            return read_answer(connection)

        ids = set()
        for _ in range(3):
            status, answer = ask()
            assert (status, b'"yes"' in answer) == (200, True)
            ids |= set(re.findall(rb"x-request-id: (\S+)", answer))
        assert len(ids) == 3
        assert b'["no","yes"]' in ask(b'{"instances": [[-1, -1, -1], [2, 2, 2]]}')[1]
        assert ask(b'{"instances": [[1, 1]]}')[0] == 422
        assert ask(b"{")[0] == 400
        assert ask(b" " * 2001)[0] == 413
    with closing(server.connect()) as connection:
        assert b'"version":1' in ask()[1]
        register(tenant, "churn", no_model)
        wait_until(lambda: b'"version":2' in ask()[1])
        assert b'"no"' in ask()[1]
        (found,) = tenant_services.keys_of(tenant)
        tenant_services.revoke_key(found.pk, tenant=tenant, actor=actor)
        wait_until(lambda: ask()[0] == 401)


def test_pipelined_requests_are_answered_in_order(server: Server, key: str) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(request(key) + request(key, body=b"nonsense") + request(key))
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 3 or not answers.endswith(b"}"):
            answers += connection.recv(65536)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"400", b"200"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (["Content-Type: text/plain"], 415, "unsupported_media_type"),
        (["Content-Type: application/json; charset=latin-1"], 415, "unsupported_media_type"),
        (["Content-Type: application/vnd.apache.parquet"], 415, "unsupported_media_type"),
        (["Content-Type: application/vnd.apache.arrow.stream"], 415, "unsupported_media_type"),
        (["Content-Encoding: gzip"], 415, "unsupported_media_type"),
        (["Authorization: Bearer mp_other"], 400, "malformed"),
        (["Content-Type: application/json", "Content-Type: text/csv"], 400, "malformed"),
    ],
)
def test_headers_that_are_refused(server: Server, key: str, headers: list[str], status: int, code: str) -> None:
    found, answer = server.ask(request(key, *headers))
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (found, document["code"], document["status"]) == (status, code, status)
    assert b"content-type: application/problem+json" in answer


@pytest.mark.parametrize("query", ["?method=predict&method=predict", "?other=1", "?method=nothing", "?%ff", "?method"])
def test_queries_that_are_refused(server: Server, key: str, query: str) -> None:
    assert server.ask(request(key, path=PATH + query))[0] in (400, 422)


def test_bodies_are_bounded_while_they_are_read(server: Server, key: str) -> None:
    large = b'{"instances": [' + b"[1, 1, 1]," * 500 + b"[1, 1, 1]]}"
    status, answer = server.ask(request(key, body=large))
    assert status == 413
    assert b"connection: close" in answer
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(large[at : at + 500]), large[at : at + 500]) for at in range(0, len(large), 500)
    )
    status, _ = server.ask(request(key, "Transfer-Encoding: chunked", body=chunks, length=False))
    assert status == 413


def test_chunked_bodies_are_read(server: Server, key: str) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(BODY[at : at + 7]), BODY[at : at + 7]) for at in range(0, len(BODY), 7))
    whole = request(key, "Transfer-Encoding: chunked", body=chunks + b"0\r\n\r\n", length=False)
    assert server.ask(whole)[0] == 200
    with closing(server.connect()) as connection:
        for at in range(0, len(whole), 40):
            connection.sendall(whole[at : at + 40])
            time.sleep(0.002)
        assert read_answer(connection)[0] == 200


def test_a_length_is_required(server: Server, key: str) -> None:
    status, answer = server.ask(request(key, body=b"", length=False))
    assert (status, b"length_required" in answer) == (411, True)


@pytest.mark.slow
def test_a_slow_body_is_given_up(server: Server, key: str) -> None:
    status, answer = server.ask(
        request(key, body=b"")[:-4].replace(b"Content-Length: 0", b"Content-Length: 50") + b"\r\n\r\n{"
    )
    assert (status, b"slow_body" in answer) == (408, True)


def test_a_client_that_leaves_early_harms_nobody(server: Server, key: str, caplog: pytest.LogCaptureFixture) -> None:
    for cut in (-5, None):
        for _ in range(5):
            connection = server.connect()
            connection.sendall(request(key)[:cut])
            connection.close()
    assert server.ask(request(key))[0] == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 405), ("PUT", 405), ("DELETE", 405), ("HEAD", 405), ("OPTIONS", 204)]
)
def test_other_methods(server: Server, key: str, method: str, status: int) -> None:
    found, answer = server.ask(request(key, "Connection: close", method=method, body=b""))
    assert found == status
    assert b"allow: POST, OPTIONS" in answer
    if method == "HEAD":
        assert answer.endswith(b"\r\n\r\n")
    refused, _ = server.ask(request("mp_" + "a" * 49, "Connection: close", method=method, body=b""))
    assert refused == 401


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/tenants/acme/models/churn/versions/x/predict",
        "/api/v1/tenants/acme/models/churn/versions/01/predict",
        "/api/v1/tenants/acme/models/churn",
        "/api/v1/tenants/acme/predict",
        "/predict",
    ],
)
def test_other_paths_are_handed_on(server: Server, key: str, path: str) -> None:
    assert server.ask(request(key, path=path))[0] == 299


@pytest.mark.parametrize("authorization", [None, "Basic YTpi", "Bearer eyJhbGciOi"])
def test_other_credentials_are_handed_on(server: Server, authorization: str | None) -> None:
    headers = [f"Authorization: {authorization}"] if authorization else []
    assert server.ask(request(None, *headers))[0] == 299


def test_request_ids_come_back_where_they_are_harmless(server: Server, key: str) -> None:
    assert b"x-request-id: my-id.1\r\n" in server.ask(request(key, "X-Request-Id: my-id.1"))[1]
    _, answer = server.ask(request(key, "X-Request-Id: a b<script>"))
    made = re.search(rb"x-request-id: ([0-9a-f-]+)\r\n", answer)
    assert made is not None
    _, refused = server.ask(request(key, "X-Request-Id: my-id.2", body=b"{"))
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["request_id"] == "my-id.2"


def test_each_request_of_a_kept_connection_has_its_own_id(server: Server, key: str) -> None:
    """Heads that differ in their ids only are not parsed again."""
    with closing(server.connect()) as connection:
        for sent in ["one", "two", "two", "a b", "three", "x" * 64, "x" * 65, "four", "one"]:
            for body, expected in [(BODY, 200), (b"{", 400), (BODY, 200)]:
                connection.sendall(request(key, f"X-Request-Id: {sent}", body=body))
                status, answer = read_answer(connection)
                assert status == expected
                (found,) = re.findall(rb"x-request-id: (\S+)\r\n", answer)
                if " " in sent or len(sent) > 64:
                    assert found.decode() != sent
                else:
                    assert found.decode() == sent
                if status == 400:
                    assert json.loads(answer.partition(b"\r\n\r\n")[2])["request_id"] == found.decode()


def test_errors_name_the_field(server: Server, key: str) -> None:
    _, answer = server.ask(request(key, body=b'{"instances": [[1, 1, 1], [1, "x", 1]]}'))
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert document["status"] == 422
    assert document["errors"][0]["field"] == "instances[1][1]"


def test_a_fault_of_ours_is_500_without_details(server: Server, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    assert server.ask(request(key))[0] == 200
    monkeypatch.setattr(server.lane, "_check_key", fail)
    status, answer = server.ask(request(key))
    assert status == 500
    assert b"secret" not in answer


def test_too_many_at_once_get_503(plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, key: str) -> None:
    register(tenant, "churn", yes_model)
    lane = FastLane(handed_on, plane, settings=conf.ServingSettings(max_queue=5))

    async def main() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(lane), base_url="http://x") as client:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            return await asyncio.gather(*(client.post(PATH, content=BODY, headers=headers) for _ in range(12)))

    responses = asyncio.run(main())
    statuses = [response.status_code for response in responses]
    assert statuses.count(200) == 5
    assert statuses.count(503) == 7
    refused = next(response for response in responses if response.status_code == 503)
    assert refused.json()["code"] == "overloaded"
    assert int(refused.headers["retry-after"]) >= 1
    assert lane.under_way == 0


def test_a_tenant_that_sends_slowly_leaves_room_for_others(
    plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, other_tenant: Tenant, make_key: Any, key: str
) -> None:
    for one in (tenant, other_tenant):
        register(one, "churn", yes_model)
    lane = FastLane(handed_on, plane, settings=conf.ServingSettings(max_queue=4, max_queue_per_tenant=3))
    other_key, other_path = make_key("predictor", tenant=other_tenant), PATH.replace("acme", other_tenant.name)

    async def main() -> None:
        is_sent = asyncio.Event()

        async def slowly() -> Any:
            yield BODY[:5]
            await is_sent.wait()
            yield BODY[5:]

        async with httpx.AsyncClient(transport=httpx.ASGITransport(lane), base_url="http://x") as client:

            async def ask(body: Any, *, path: str = PATH, key: str = key) -> int:
                length, kind = str(len(BODY)), "application/json"
                headers = {"Authorization": f"Bearer {key}", "Content-Type": kind, "Content-Length": length}
                return (await client.post(path, content=body, headers=headers)).status_code

            assert [await ask(BODY), await ask(BODY, path=other_path, key=other_key)] == [200, 200]
            slow = [asyncio.ensure_future(ask(slowly())) for _ in range(8)]
            for refused in itertools.islice(asyncio.as_completed(slow), 5):
                assert await refused == 503
            assert await ask(BODY, path=other_path, key=other_key) == 200
            is_sent.set()
            assert sorted(await asyncio.gather(*slow)) == [200] * 3 + [503] * 5
            assert await ask(BODY) == 200

    asyncio.run(main())
    assert lane.under_way == 0


def test_a_tenant_whose_models_are_slow_leaves_room_for_others(
    plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, key: str
) -> None:
    register(tenant, "churn", yes_model)
    let_it_hear(plane)
    lane = FastLane(handed_on, plane, settings=conf.ServingSettings(max_queue_per_tenant=2))
    long = json.dumps({"instances": [[1, 1, 1]] * 10_000}).encode()  # too long to be answered at once
    sent = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
    head = [*sent, (b"content-length", b"%d" % len(long))]

    async def receive() -> Any:
        return {"type": "http.request"}

    async def main() -> list[Any]:
        answers: list[Any] = []

        async def send(message: Any) -> None:
            answers.append(message.get("status"))

        async def finish(begun: Any) -> None:
            await begun({}, receive, send)

        def begin(body: bytes) -> Any:
            return lane.begin(Head("POST", PATH, b"", dict(head), head), body)

        await finish(begin(BODY))  # has the key, the route and the model loaded
        begun = [begin(long) for _ in range(4)]
        assert [answer.status for answer in begun[2:]] == [503, 503]
        assert begin(BODY).status == 200  # waits for nothing
        await asyncio.gather(*(finish(one) for one in begun[:2]))
        return [status for status in answers if status]

    assert asyncio.run(main()) == [200] * 3
    assert lane.under_way == 0
    (entry,) = plane.pool._entries.values()
    assert not entry.is_pinned


def test_strangers_whose_keys_are_looked_up_leave_room_for_others(
    plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, key: str
) -> None:
    register(tenant, "churn", yes_model)
    let_it_hear(plane)
    lane = FastLane(handed_on, plane, settings=conf.ServingSettings(max_queue=3, max_queue_per_tenant=2))
    statuses: list[int] = []

    def begin(secret: str) -> Any:
        sent = [(b"authorization", f"Bearer {secret}".encode()), (b"content-length", b"%d" % len(BODY))]
        head = [*sent, (b"content-type", b"application/json")]
        return lane.begin(Head("POST", PATH, b"", dict(head), head), BODY)

    async def finish(begun: Any) -> None:
        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await begun({}, receive, send)

    async def main() -> None:
        await finish(begin(key))
        begun = [begin(make_secret()) for _ in range(4)]
        assert [answer.status for answer in begun[2:]] == [503, 503]
        assert begin(key).status == 200
        await asyncio.gather(*(finish(one) for one in begun[:2]))
        new = make_secret()
        first = asyncio.ensure_future(finish(begin(new)))
        await asyncio.sleep(0)
        same = [begin(new) for _ in range(2)]  # wait for the same lookup
        await asyncio.gather(first, *(finish(one) for one in same))

    asyncio.run(main())
    assert statuses == [200, *[401] * 5]
    assert lane.under_way == 0


def test_large_tables_are_answered_from_a_thread(
    plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, key: str
) -> None:
    register(tenant, "churn", yes_model)
    lane = FastLane(handed_on, plane, settings=conf.ServingSettings())
    rows = [[1, 1, 1], [-1, -1, -1]] * 10_000

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(lane), base_url="http://x") as client:
            return await client.post(PATH, json={"instances": rows}, headers={"Authorization": f"Bearer {key}"})

    answer = asyncio.run(main())
    assert answer.json()["predictions"] == ["yes", "no"] * 10_000
    assert len(json.dumps(rows)) > json_codec.MAX_VALUES / 100


def test_answers_are_counted(server: Server, key: str) -> None:
    def counted(status: str) -> float:
        METERS.flush()
        found = catalogue.PREDICTIONS.children()
        return sum(child.values[0] for labels, child in found if labels[:5] == ("v1", status, "acme", "churn", "1"))

    before = {status: counted(status) for status in ("200", "400")}
    for body in (BODY, BODY, b"{"):
        server.ask(request(key, body=body))
    wait_until(lambda: counted("400") == before["400"] + 1)
    assert counted("200") == before["200"] + 2
