"""Serving in one web process: the application is put together, and uvicorn runs it on the socket of the supervisor."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from functools import partial
from types import FrameType

import uvicorn
import uvloop
from django.core.handlers.wsgi import WSGIHandler
from django.urls import get_resolver

from modelpool import conf
from modelpool.conf import ServingSettings, Settings
from modelpool.core.runtime.selftest.result import SelfTest, start_of_parent
from modelpool.inference.asgi import Receive, Scope, Send
from modelpool.inference.current import use_data_plane
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.fast_lane import FastLane
from modelpool.inference.observation.history import HistoryWriter
from modelpool.inference.observation.journal import Journal
from modelpool.inference.observation.metrics import METERS
from modelpool.inference.resolution.lookup import with_database
from modelpool.monitoring.history import prune_served, write_served
from modelpool.monitoring.services import DatabaseMonitor
from modelpool.server.addresses import allowed_hosts, public_prefix
from modelpool.server.asgi import Front
from modelpool.server.bridge.django_lane import DjangoLane
from modelpool.server.connections.acceptor import Acceptor
from modelpool.server.connections.gate import HostCheck
from modelpool.server.connections.protocol import guarded, sweep_connections
from modelpool.server.connections.seats import Seats
from modelpool.server.processes.preparation import wait_at
from modelpool.server.telemetry.health import Readiness
from modelpool.server.telemetry.tracing import start_tracing
from modelpool.server.telemetry.vitals import report_vitals
from modelpool.storage.health import StoreWatch

logger = logging.getLogger(__name__)

_LAME_DUCK_S = 0.5
_BEAT_S = 1.0


class Application:
    """Everything a web process serves, with its beginning and end; an ASGI application with lifespan."""

    def __init__(self, settings: Settings, *, home: conf.Home) -> None:
        server = settings.server
        self._history = _history_writer(settings.serving, home)
        journal = Journal(self._history.folder) if self._history else None
        METERS.configure(max_models=server.metrics_max_models, journal=journal)
        self._stores = StoreWatch()
        self._tracer = start_tracing(settings.tracing, process="web")
        self.self_test = SelfTest(home.run_dir, start=start_of_parent())
        self.data_plane = DataPlane(
            settings.serving,
            workers=settings.server.workers,
            monitor=DatabaseMonitor(node=socket.gethostname(), pid=os.getpid()),
            await_verdict=self.self_test.await_verdict,
        )
        use_data_plane(self.data_plane)
        guard = self.data_plane.host.guard
        self.readiness = Readiness(
            preloaded=lambda: self.data_plane.is_preloaded,
            isolation_problem=guard.problem,
            is_fed=lambda: self.data_plane.feed.is_fresh,
        )
        self.django = DjangoLane(WSGIHandler(), settings=settings, tmp_dir=home.tmp_dir)
        body_timeout_s = float(server.body_timeout)
        fast_lane = FastLane(self.django, self.data_plane, settings=settings.serving, body_timeout_s=body_timeout_s)
        self._vitals = partial(report_vitals, self.readiness, feed=self.data_plane.feed, lane=fast_lane)
        hosts = HostCheck(allowed_hosts(server))
        self.front = Front(
            fast_lane, readiness=self.readiness, hosts=hosts, prefix=public_prefix(server), begin=fast_lane.begin
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and stop what works in the background."""
        if scope["type"] == "http":
            await self.front(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.data_plane.start()
        if self._history is not None:
            self._history.start()
        self._stores.start()
        self._test_isolation()
        vitals = asyncio.ensure_future(self._vitals())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        vitals.cancel()
        await asyncio.to_thread(self._stores.close)
        await asyncio.to_thread(self.self_test.close)
        await asyncio.to_thread(self.data_plane.close)
        METERS.close()
        if self._history is not None:
            await asyncio.to_thread(self._history.close)
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)
        await send({"type": "lifespan.shutdown.complete"})

    def _test_isolation(self) -> None:
        """Begin the self-test of the jail, in the background, or say at once that there is no jail."""
        guard = self.data_plane.host.guard
        guard.warn_once()
        if not guard.layers.missing:
            self.self_test.start()

    def leave(self) -> None:
        """Be not ready any more, and ask clients to go elsewhere; everything is still answered."""
        self.readiness.is_draining = True

    def drain(self) -> None:
        """Be not ready any more, ask clients to go elsewhere, and end streams that have no end."""
        self.leave()
        self.django.draining.set()


def _history_writer(settings: ServingSettings, home: conf.Home) -> HistoryWriter | None:
    """Return what writes down how much versions are asked, where that is wanted."""
    hours_s, minutes_s = float(settings.history), float(settings.history_minutes)
    if not hours_s:
        return None
    prune = with_database(partial(prune_served, minutes_s=minutes_s, hours_s=hours_s))
    folder = home.path / "history"  # kept over starts: it holds what is not in the database yet
    folder.mkdir(mode=0o700, exist_ok=True)
    return HistoryWriter(folder, with_database(write_served), prune=prune)


class WebServer(uvicorn.Server):
    """uvicorn that tells the supervisor when it is ready, closes slow heads, and lets clients finish before it ends.

    It takes connections from ``listening``, which it shares with those who have the other ``seats``; where there are
    none, the event loop takes them by itself, which costs less.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        application: Application,
        listening: socket.socket,
        seats: Seats | None,
        ready_fd: int,
        head_timeout_s: float,
    ) -> None:
        super().__init__(config)
        self._application = application
        self._listening = listening
        self._seats = seats
        self._acceptor: Acceptor | None = None
        self._ready_fd = ready_fd
        self._head_timeout_s = head_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup([self._listening] if self._seats is None else [])
        if self._seats is not None:
            self._acceptor = Acceptor(self._listening, self._make_protocol, seat=self._seats.of(os.getpid()))
            self._acceptor.start()
        gc.collect()
        gc.freeze()  # what is here now stays: collections need not walk over Django again, while requests wait
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._application.leave)
        self._sweep = asyncio.ensure_future(sweep_connections(self.server_state, head_timeout_s=self._head_timeout_s))
        os.set_inheritable(self._ready_fd, False)
        os.set_blocking(self._ready_fd, False)
        self._say("ready\n")
        self._beat()

    def _make_protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _beat(self) -> None:
        """Tell the supervisor each second that this event loop turns."""
        self._say(".")
        asyncio.get_running_loop().call_later(_BEAT_S, self._beat)

    def _say(self, word: str) -> None:
        try:
            os.write(self._ready_fd, word.encode())
        except BlockingIOError:
            logger.debug("the supervisor does not listen")  # it stands still; what it has not read says enough
        except BrokenPipeError:
            logger.debug("the supervisor is gone")  # and so is this process in a moment

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more; for half a second send clients away with their next answer; then finish."""
        self._application.drain()
        for server in self.servers:
            server.close()
        if self._acceptor is not None:
            self._acceptor.close()
        await self._wait_for_clients(asyncio.get_running_loop().time() + _LAME_DUCK_S)
        self._sweep.cancel()
        await super().shutdown(sockets)

    async def _wait_for_clients(self, deadline: float) -> None:
        now = asyncio.get_running_loop().time
        while self.server_state.connections and now() < deadline and not self.force_exit:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.05)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal, end at once on the second."""
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(*, socket_fd: int, seats_fd: int, ready_fd: int, gate_fd: int) -> None:
    """Serve until SIGTERM, then end the process; ends without waiting for threads that are still streaming."""
    settings = conf.settings()
    get_resolver().url_patterns  # noqa: B018  imports every route now, not with the first request
    wait_at(gate_fd)
    listening = socket.socket(fileno=socket_fd)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listening, Seats(seats_fd), ready_fd, settings))
        logging.shutdown()
        sys.stderr.flush()
        os._exit(0)


async def _serve(listening: socket.socket, seats: Seats, ready_fd: int, settings: Settings) -> None:
    application = Application(settings, home=conf.home())
    server = settings.server
    config = uvicorn.Config(
        application,
        http=guarded(max_connections=server.max_connections, begin=application.front.begin),
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=int(server.keep_alive),
        timeout_graceful_shutdown=int(server.drain_timeout),
    )
    web_server = WebServer(
        config,
        application=application,
        listening=listening,
        seats=seats if server.workers > 1 else None,
        ready_fd=ready_fd,
        head_timeout_s=server.head_timeout,
    )
    await web_server.serve()
