"""The server's own layers on real sockets: the bridge over a test's application, and a whole ``modelpool serve``."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from modelpool import conf
from modelpool.server.addresses import public_prefix
from modelpool.server.asgi import Front
from modelpool.server.bridge.django_lane import DjangoLane
from modelpool.server.connections.gate import HostCheck
from modelpool.server.connections.protocol import guarded, sweep_connections
from tests.sandbox import fresh_path
from tests.server.wsgi_app import Application
from tests.servers.modelpool import ServedModelpool, serve_modelpool
from tests.waiting import wait_until


class _AlwaysReady:
    is_draining = False


@dataclass
class Bridge:
    """A bridge at work: its application, its temporary folder, its address."""

    application: Application
    tmp_dir: Path
    port: int
    lane: DjangoLane
    loop: asyncio.AbstractEventLoop
    connections: set[Any] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, **named: Any) -> httpx.Client:
        """Return a client of it."""
        return httpx.Client(base_url=self.url, timeout=20, **named)

    def connect(self) -> socket.socket:
        """Open a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def in_loop(self, call: Callable[[], Any]) -> None:
        """Run a function where the server runs."""
        self.loop.call_soon_threadsafe(call)


@pytest.fixture
def make_bridge(tmp_path: Path) -> Iterator[Callable[..., Bridge]]:
    """Start bridges with the ``[server]`` and ``[limits]`` settings given; they end with the test."""
    running: list[tuple[uvicorn.Server, threading.Thread, Application]] = []

    def make(*, limits: dict[str, Any] | None = None, max_connections: int = 100, **server: Any) -> Bridge:
        settings = conf.decode_settings({"server": server, "limits": limits or {}}, source="test")
        bridge, uvicorn_server, thread = _start(settings, tmp_path, max_connections)
        running.append((uvicorn_server, thread, bridge.application))
        return bridge

    yield make
    for server, thread, application in running:
        application.gate.set()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def shared_bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge with the settings of a new installation, for the tests of a file."""
    settings = conf.decode_settings({}, source="test")
    bridge, server, thread = _start(settings, tmp_path_factory.mktemp("bridge"), 100)
    yield bridge
    bridge.application.gate.set()
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def bridge(shared_bridge: Bridge) -> Bridge:
    """The shared bridge, as if nobody had used it."""
    shared_bridge.application.reset()
    return shared_bridge


def _start(
    settings: conf.Settings, tmp_dir: Path, max_connections: int
) -> tuple[Bridge, uvicorn.Server, threading.Thread]:
    application = Application()
    listening = socket.create_server(("127.0.0.1", 0))
    made: dict[str, Any] = {}

    async def run() -> None:
        made["lane"] = lane = DjangoLane(application, settings=settings, tmp_dir=tmp_dir)
        front = Front(
            lane, readiness=_AlwaysReady(), hosts=HostCheck(["127.0.0.1"]), prefix=public_prefix(settings.server)
        )
        config = uvicorn.Config(
            front,
            http=guarded(max_connections=max_connections, begin=front.begin),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        made["server"] = server = uvicorn.Server(config)
        made["loop"] = asyncio.get_running_loop()
        sweep = asyncio.ensure_future(
            sweep_connections(server.server_state, head_timeout_s=settings.server.head_timeout)
        )
        await server.serve([listening])
        sweep.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    port = listening.getsockname()[1]
    wait_until(lambda: "server" in made and made["server"].started, "the bridge to start")
    bridge = Bridge(application, tmp_dir, port, made["lane"], made["loop"], made["server"].server_state.connections)
    return bridge, made["server"], thread


@pytest.fixture(scope="session")
def live_server_process() -> Iterator[ServedModelpool]:
    """One ``modelpool serve`` of this test process, with a web and a job process, for tests that leave it as it was."""
    with serve_modelpool(fresh_path("live-home"), "--workers", "1", "--job-workers", "1") as served:
        yield served
