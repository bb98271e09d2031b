"""Where the microseconds of a prediction go: ``python benchmarks/profile_predict.py [--model forest]``.

The connection, the lane and the model are called in this process, one after the other and on a transport that throws
away what is written; each is timed alone, many times, and the best of several runs is kept. What is missing between
the sum and the processor time that ``bench_predict.py`` finds is the event loop and the kernel's share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import timeit
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from installation import temporary_installation
from report import print_table, write_results

_CALLS, _RUNS = 5000, 9
_HEADS = 64
Stage = tuple[int, str, float]
"""How deep it is nested, what it is, microseconds."""
Call = tuple[int, str, Callable[[], Any]]
"""A stage before it is timed."""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["logistic", "forest"], default="logistic")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(asyncio.run(_measure(json.loads(options.inside), options.model))))
        return
    with temporary_installation() as installation:
        made = installation.run_script("register_model.py", options.model, str(installation.home / "compiled.onnx"))
        script = [Path(__file__).name, "--model", options.model, "--inside", json.dumps(made)]
        stages: list[Stage] = [tuple(stage) for stage in installation.run_script(*script)]
    print(f"{options.model}, 1 row a request, processor time without the event loop and the kernel")
    rows = [["  " * depth + name, f"{microseconds:.2f}"] for depth, name, microseconds in stages]
    print_table(["stage", "µs"], rows)
    print(write_results(f"profile_{options.model}", {"options": vars(options), "stages": stages}))


class _Nowhere(asyncio.Transport):
    """A connected transport that keeps the last answer only."""

    last = b""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        self.last = data

    def is_closing(self) -> bool:
        return False


async def _measure(made: dict[str, Any], model: str) -> list[Stage]:
    """Return the stages of the warm lane; must run where Django's settings are those of the installation."""
    import django

    django.setup()
    from modelpool import conf
    from modelpool.inference.data_plane import DataPlane
    from modelpool.inference.fast_lane import FastLane

    settings = msgspec.structs.replace(conf.settings().serving, inline_limit=conf.Duration(1.0))  # whatever else runs
    plane = DataPlane(settings)
    plane.start()
    lane = FastLane(_nobody, plane, settings=settings)
    try:
        return await _stages_of(lane, plane, made, model)
    finally:
        await asyncio.to_thread(plane.close)


class _Sent(NamedTuple):
    """A request as its client writes it; ``lines`` are its headers and ``body`` follows them."""

    path: str
    lines: list[tuple[bytes, bytes]]
    body: bytes

    def written(self, *more: bytes) -> bytes:
        """Return the bytes of the request, with further lines before the others."""
        lines = b"".join([*more, *(b"%b: %b\r\n" % line for line in self.lines)])
        return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (self.path.encode(), lines, self.body)

    def head(self) -> Any:
        """Return a head that no lane has seen."""
        from modelpool.inference.requests import Head

        return Head("POST", self.path, b"", dict(self.lines), self.lines)


def _request(made: dict[str, Any], model: str) -> _Sent:
    body = json.dumps({"instances": [made["row"]]}).encode()
    lines = [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")]
    lines += [(b"authorization", b"Bearer " + made["key"].encode()), (b"content-length", b"%d" % len(body))]
    return _Sent(f"/api/v1/tenants/bench/models/{model}/predict", lines, body)


async def _stages_of(lane: Any, plane: Any, made: dict[str, Any], model: str) -> list[Stage]:
    from modelpool.server.asgi import Front
    from modelpool.server.connections.gate import HostCheck

    sent = _request(made, model)
    ready = type("Ready", (), {"is_draining": False})()
    front = Front(lane, readiness=ready, hosts=HostCheck(["127.0.0.1"]), begin=lane.begin)
    answer = await _warm(lane, sent.head(), sent.body)
    calls = _calls_of_connection(front, sent, answer) + _calls_of_lane(front, plane, sent, made["key"].encode())
    return [(depth, name, _time(call)) for depth, name, call in calls]


def _calls_of_connection(front: Any, sent: _Sent, answer: Any) -> list[Call]:
    raw = sent.written()
    ids, unlike = (
        cycle([sent.written(b"%b: %032x\r\n" % (name, number)) for number in range(_HEADS)])
        for name in (b"x-request-id", b"x-anything")
    )
    (whole, _), (named, _), (unknown, _) = (_connection(front.begin) for _ in range(3))
    parsed, _ = _connection(lambda *_: answer)
    return [
        (0, "the whole request, from the bytes read to the bytes written", lambda: unknown.data_received(next(unlike))),
        (0, "the same, with a head like the one before it but for its id", lambda: named.data_received(next(ids))),
        (0, "the same, with a head like the one before it", partial(whole.data_received, raw)),
        (1, "the connection: parse, hold, write", lambda: parsed.data_received(next(unlike))),
    ]


def _calls_of_lane(front: Any, plane: Any, sent: _Sent, secret: bytes) -> list[Call]:
    from modelpool.inference.observation.metrics import METERS
    from modelpool.inference.requests import declared_length, parse_path
    from modelpool.inference.resolution.principals import digest_for_cache

    headers, body, kind = dict(sent.lines), sent.body, b"application/json"
    route = plane.routes.find(parse_path(sent.path))
    entry = plane.pool.pin(route.key)
    plane.pool.release(entry)  # nothing else is loaded that could put it out
    served = entry.item
    request, encode = served.read(body, content_type=kind)
    outputs = served.model.predict(request.inputs, request.outputs)
    return [
        (1, "the front and the lane", lambda: front.begin(sent.head(), body)),
        (2, "the host", partial(front._is_our_host, sent.lines)),
        (2, "the path, to names", partial(parse_path, sent.path)),
        (2, "the key: digest and look-up", lambda: plane.keys.find(digest_for_cache(secret))),
        (3, "of that the digest", partial(digest_for_cache, secret)),
        (2, "lengths and encodings", partial(declared_length, headers, limit=1 << 20)),
        (2, "counting", partial(METERS.of("profile").count, route, 200, 0.001)),
        (
            2,
            "the model: pin, read, predict, write, release",
            lambda: plane.answer(plane.pool.pin(route.key), body, content_type=kind),
        ),
        (3, "pin and release", lambda: plane.pool.release(plane.pool.pin(route.key))),
        (3, "read the body into arrays, checked", partial(served.read, body, content_type=kind)),
        (3, "predict", partial(served.model.predict, request.inputs, request.outputs)),
        (3, "write the answer", partial(encode, outputs)),
    ]


async def _warm(lane: Any, head: Any, body: bytes) -> Any:
    """Let key, route and model be loaded, and return the answer of the warm lane."""
    from modelpool.inference.requests import Answer

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    begun = lane.begin(head, body)
    if not isinstance(begun, Answer):
        await begun({}, None, send)
        begun = lane.begin(head, body)
    assert isinstance(begun, Answer), begun
    return begun


def _connection(begin: Any) -> tuple[Any, _Nowhere]:
    import uvicorn
    from uvicorn.server import ServerState

    from modelpool.server.connections.protocol import guarded

    config = uvicorn.Config(_nobody, ws="none", log_config=None)
    made: Any = guarded(max_connections=10, begin=begin)
    protocol = made(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop())
    transport = _Nowhere()
    protocol.connection_made(transport)
    return protocol, transport


async def _nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("everything is answered on the short way")


def _time(call: Callable[[], Any]) -> float:
    call()
    return min(timeit.repeat(call, number=_CALLS, repeat=_RUNS)) / _CALLS * 1e6


if __name__ == "__main__":
    sys.exit(main())
