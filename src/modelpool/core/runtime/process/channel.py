"""An event loop talks to a model process itself: no thread stands between a request and the socket.

A thread costs two changes of hands and two waits for the interpreter's lock, which is several times what the call
itself does. Only what would hold up the loop is left to one: long frames, and starting and ending processes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from modelpool.core.errors import ModelpoolError, ModelUnavailable
from modelpool.core.formats.base import Arrays
from modelpool.core.runtime.batching import bytes_of
from modelpool.core.runtime.process import wire
from modelpool.core.runtime.process.answers import WrongAnswer, check_answer
from modelpool.core.runtime.process.child import Child, broke_protocol, missed_deadline, reported_error
from modelpool.core.runtime.process.isolated_model import IsolatedModel

logger = logging.getLogger(__name__)

Answers = dict[str, np.ndarray]
Done = Callable[[Answers | None, ModelpoolError | None], None]

_threads = ThreadPoolExecutor(512, "modelpool-model")
"""A model takes at most two of them, so that none waits for another's process; one that is idle is used again."""

_RETRY_S = 0.002  # while a thread uses the model
_DETACH_S = 5.0


class _Asked(NamedTuple):
    """The call under way."""

    inputs: Arrays
    outputs: Sequence[str]
    done: Done
    is_shared: bool


class LoopChannel:
    """Calls of one model from one event loop, one at a time; every method but :meth:`detach` runs in that loop."""

    def __init__(self, model: IsolatedModel, loop: asyncio.AbstractEventLoop) -> None:
        self._model = model
        self._loop = loop
        self._child: Child | None = None
        self._reader: wire.FrameReader | None = None
        self._asked: _Asked | None = None
        self._holds_lock = False
        self._call, self._n_rows = 0, 0
        self._limits = wire.Limits()
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, inputs: Arrays, outputs: Sequence[str], done: Done, *, is_shared: bool = False) -> None:
        """Ask for outputs; ``done`` is called once, in the loop, with the answers or with the error.

        ``is_shared`` says that several requests are asked together: what fails then is nobody's fault yet.
        """
        self._asked = _Asked(inputs, outputs, done, is_shared)
        self._begin()

    def _begin(self) -> None:
        asked = self._asked
        if asked is None:
            return
        if not self._model.lock.acquire(blocking=False):
            self._loop.call_later(_RETRY_S, self._begin)
            return
        self._holds_lock = True
        try:
            child = self._model.ready_child()
        except ModelUnavailable as error:
            self._loop.call_soon(self._finish, None, error)  # later, as promised: the caller may ask again at once
            return
        if bytes_of(asked.inputs) > wire.SMALL_BYTES:
            self._let_go()
            self._in_thread(lambda: self._ask_long(asked), then=self._finish)
        elif child is None:
            self._let_go()
            self._in_thread(self._model.start_child, then=self._started)
        else:
            self._send(child, asked)

    def _started(self, child: Child | None, error: ModelpoolError | None) -> None:
        if error is not None:
            self._finish(None, error)
        elif child is not None and self._asked is not None:
            self._send(child, self._asked)

    # --- short frames -------------------------------------------------------------------------------------------------

    def _send(self, child: Child, asked: _Asked) -> None:
        if child is not self._child or self._reader is None:
            self._hold(child)
        if child.channel.gettimeout() != 0:  # a thread has asked meanwhile
            child.channel.setblocking(False)
        try:
            pieces, self._call, self._n_rows = self._model.request_frame(asked.inputs, asked.outputs)
        except wire.WireError as error:
            refusal = ModelUnavailable(f"The request cannot be sent to the model: {error}.")
            self._loop.call_soon(self._finish, None, refusal)
            return
        self._limits = self._model.limits_of(asked.outputs, n_rows=self._n_rows)
        child.calls += 1
        self._timer = self._loop.call_later(self._model.timeout_s, self._missed_deadline)
        self._write(child, memoryview(b"".join(pieces) if len(pieces) > 1 else pieces[0]))

    def _write(self, child: Child, data: memoryview) -> None:
        """Send all of it: an idle process has an empty socket, which takes a short frame at once."""
        try:
            sent = child.channel.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._failed(None)
            return
        if sent < len(data):
            self._loop.add_writer(child.channel.fileno(), self._write_on, child, data[sent:])

    def _write_on(self, child: Child, data: memoryview) -> None:
        self._loop.remove_writer(child.channel.fileno())
        self._write(child, data)

    def _hold(self, child: Child) -> None:
        self._let_go()
        self._child, self._reader = child, wire.FrameReader(child.channel)
        self._loop.add_reader(child.channel.fileno(), self._readable)

    def _let_go(self) -> None:
        """Stop listening to the child; whoever ends it, or reads it in a thread, does so afterwards."""
        self._stop_timer()
        self._reader = None
        if self._child is not None and self._child.channel.fileno() >= 0:
            self._loop.remove_reader(self._child.channel.fileno())
            self._loop.remove_writer(self._child.channel.fileno())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _readable(self) -> None:
        if self._reader is None:
            return
        if self._timer is None:
            self._unasked()
            return
        try:
            raw = self._reader.read(self._limits)
            if raw is None:
                return
            is_long = len(raw.data) > 2 * wire.SMALL_BYTES
            found = None if is_long else self._checked(raw)
        except wire.Closed:
            self._failed(None)
        except wire.WireError as error:
            self._failed(broke_protocol(error))
        except WrongAnswer as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001  whatever a process makes us stumble over is its own fault
            self._failed(broke_protocol(error))
        else:  # what goes wrong from here on is our own
            if found is not None:
                self._take(*found)
            else:
                self._let_go()
                self._in_thread(lambda: self._checked(raw), then=self._take_checked)

    def _unasked(self) -> None:
        """Nobody asked: where it died the next call starts another one, where it speaks out of turn it is ended."""
        child = self._child
        assert child is not None
        self._let_go()
        if not self._model.lock.acquire(blocking=False):  # a thread asked
            return
        try:
            child.channel.setblocking(False)  # a thread's timeout would hold up the loop
            has_spoken = child.has_spoken()
        except OSError:
            has_spoken = False
        finally:
            self._model.lock.release()
        if not has_spoken:
            return

        def end() -> None:
            with self._model.lock:
                child.end()
                self._model.child_failed("spoke without being asked")

        self._in_thread(end, then=lambda *_: None)

    def _checked(self, raw: wire.Raw) -> tuple[Answers | None, ModelpoolError | None]:
        header, answers = raw.decode()
        if header.kind == "error":
            return None, reported_error(header.facts)
        assert self._asked is not None
        check_answer(
            header.facts,
            answers,
            signature=self._model.signature,
            outputs=self._asked.outputs,
            n_rows=self._n_rows,
            call=self._call,
        )
        return answers, None

    def _take_checked(self, found: Any, error: ModelpoolError | None) -> None:
        if error is not None:
            self._failed(error.detail)
        else:
            self._take(*found)

    def _take(self, answers: Answers | None, error: ModelpoolError | None) -> None:
        self._stop_timer()
        if error is None:
            self._model.answered()
            self._finish(answers, None)
            return
        child = self._child
        assert child is not None
        self._let_go()
        self._in_thread(lambda: self._model.refused(child, error), then=self._fail_with)

    def _missed_deadline(self) -> None:
        self._timer = None
        self._failed(missed_deadline(self._model.timeout_s), is_hung=True)

    def _failed(self, what: str | None, *, is_hung: bool = False) -> None:
        """End the child in a thread, since that waits for it, and tell the caller what it did, or how it died."""
        child, asked = self._child, self._asked
        assert child is not None
        assert asked is not None
        self._let_go()
        is_fault = is_hung or not asked.is_shared

        def end() -> ModelpoolError:
            became = child.end_after("closed its connection")
            return self._model.child_failed(what or became, is_fault=is_fault and not child.is_lost)

        self._in_thread(end, then=self._fail_with)

    def _fail_with(self, error: Any, unforeseen: ModelpoolError | None) -> None:
        self._finish(None, unforeseen or error)

    # --- threads ------------------------------------------------------------------------------------------------------

    def _ask_long(self, asked: _Asked) -> Answers:
        deadline = time.monotonic() + self._model.timeout_s
        return self._model.ask_locked(asked.inputs, asked.outputs, deadline=deadline, is_shared=asked.is_shared)

    def _in_thread(self, work: Callable[[], Any], *, then: Callable[[Any, Any], None]) -> None:
        """Run it in a thread that no other model waits for, then go on in the loop."""

        def run() -> None:
            found, error = None, None
            try:
                found = work()
            except ModelpoolError as raised:
                error = raised
            except wire.WireError as raised:
                error = ModelUnavailable(broke_protocol(raised))
            except WrongAnswer as raised:
                error = ModelUnavailable(str(raised))
            except Exception as raised:  # noqa: BLE001  whatever it is, the caller waits for an end
                error = ModelUnavailable(f"The model is unavailable: {type(raised).__name__}.")
            try:
                self._loop.call_soon_threadsafe(then, found, error)
            except RuntimeError:  # the loop is closed: nobody waits
                self._unlock()

        _threads.submit(run)

    def _finish(self, answers: Answers | None, error: ModelpoolError | None) -> None:
        asked, self._asked = self._asked, None
        self._unlock()
        if asked is None:
            return
        try:
            asked.done(answers, error)
        except Exception:  # the edge of a callback of the loop
            logger.exception("what a model answered could not be passed on")

    def _unlock(self) -> None:
        if self._holds_lock:
            self._holds_lock = False
            self._model.lock.release()

    def detach(self) -> None:
        """Stop listening, from any thread, before the model is closed or another loop takes it.

        A call that is under way in a loop that has ended is lost, and the child with it.
        """
        if not self._loop.is_running():
            self._forget()
            return
        if asyncio._get_running_loop() is self._loop:
            self._let_go()
            return
        done = threading.Event()

        def let_go() -> None:
            self._let_go()
            done.set()

        try:
            self._loop.call_soon_threadsafe(let_go)
        except RuntimeError:
            self._forget()
        else:
            done.wait(_DETACH_S)

    def _forget(self) -> None:
        child, self._child, self._reader = self._child, None, None
        self._timer = None
        if self._asked is not None and child is not None:
            child.end()
        self._asked = None
        self._unlock()
