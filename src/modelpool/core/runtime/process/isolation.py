"""Models in child processes: whatever was uploaded is parsed and run here, never in the web process."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path
from typing import Any

import msgspec

from modelpool.core.errors import ModelpoolError, ModelUnavailable, UnloadableModel
from modelpool.core.formats.base import ModelFormat
from modelpool.core.formats.registry import FORMATS, HEAD_BYTES, detect_format
from modelpool.core.runtime.jail.guard import Guard
from modelpool.core.runtime.jail.hostile_format import SELF_TEST
from modelpool.core.runtime.process.child import Child, ChildFailed
from modelpool.core.runtime.process.isolated_model import IsolatedModel
from modelpool.core.runtime.process.model_source import ModelSource
from modelpool.core.runtime.process.zygote_client import Zygote, ZygoteGone
from modelpool.core.signature import ModelSignature

__all__ = ["Inspection", "IsolatedModel", "ModelHost"]

MAX_INPUTS = 20_000


class Inspection(msgspec.Struct, frozen=True):
    """What a throw-away child found out about a file: it loads, and predicts an example row.

    ``size_bytes`` is the private memory of the child with the model loaded; ``warnings`` are sentences for people.
    """

    format: str
    signature: ModelSignature
    size_bytes: int
    classes: tuple[str | int | float | bool, ...] | None = None
    warnings: tuple[str, ...] = ()


class ModelHost:
    """Starts child processes for models; one per server process, safe to use from any thread.

    ``memory_limit`` bytes is what one child may take above the libraries it shares; ``predict_timeout_s`` the
    deadline of one call and ``load_timeout_s`` that of loading. ``guard`` says whether the jail holds on this machine.
    Nothing is started before the first use.
    """

    def __init__(
        self,
        memory_limit: int = 4 << 30,
        *,
        predict_timeout_s: float = 30.0,
        load_timeout_s: float = 60.0,
        guard: Guard | None = None,
    ) -> None:
        self.memory_limit = memory_limit
        self.predict_timeout_s = predict_timeout_s
        self.load_timeout_s = load_timeout_s
        self.guard = guard or Guard()
        self._lock = threading.Lock()
        self._zygote: Zygote | None = None
        self._owner_pid = os.getpid()
        self._is_closed = False

    def inspect(
        self,
        data: bytes | Path | int,
        *,
        format: str | None = None,
        filename: str | None = None,
        signature: ModelSignature | None = None,
        timeout_s: float = 60.0,
    ) -> Inspection:
        """Validate an upload, given as bytes, path or open descriptor, in a throw-away child.

        It is loaded, its signature read (``signature`` wins) and an example row predicted. ``format`` is checked
        against the first bytes. Raises :class:`~modelpool.core.errors.UntrustedFormat` and
        :class:`~modelpool.core.errors.UnloadableModel`, also for a crash, for ``timeout_s`` passed and for memory
        beyond the limit, :class:`~modelpool.core.errors.Invalid` for a wrong signature, and
        :class:`~modelpool.core.errors.ModelUnavailable` when no process can be started, and
        :class:`~modelpool.core.errors.IsolationUnavailable` where the jail does not hold.
        """
        self.guard.admit_upload()
        source = ModelSource(data)
        try:
            plugin = _check_head(source, format=format, filename=filename)
            child = self._fork(plugin.name, cpu_seconds=math.ceil(timeout_s) + 1, is_trained=False)
            try:
                facts = _loaded(child, source, plugin.name, signature=signature, timeout_s=timeout_s, is_trial=True)
            finally:
                child.end()
        finally:
            source.close()
        return _inspection(plugin.name, facts)

    def preload(self, *formats: str) -> None:
        """Import what these formats need, before the first request that wants it: seconds for ``sklearn``.

        Meant for a thread at start-up; other calls of this host wait for it.
        """
        for format in formats:
            try:
                self._running_zygote().preload(format)
            except ZygoteGone:
                return  # the next fork starts another one

    def load(
        self, data: bytes | Path | int, *, format: str, signature: ModelSignature, is_trained: bool = False
    ) -> IsolatedModel:
        """Load verified bytes into a child of its own; the errors are those of :meth:`inspect`.

        ``is_trained`` says that they are known to be of our own making: only then they are also opened where a layer
        of the jail is missing. Given a path or descriptor, the file is kept open and read again when the child has to
        be restarted; bytes are copied once, into sealed memory.
        """
        FORMATS[format]
        source = ModelSource(data, is_trained=is_trained)
        return IsolatedModel(self, source, format=format, signature=signature)

    def start_child(
        self, source: ModelSource, *, format: str, signature: ModelSignature
    ) -> tuple[Child, dict[str, Any]]:
        """Return a child that has loaded the model, and what it says of it; for :class:`IsolatedModel`."""
        if not source.is_trained:
            self.guard.admit_model()
        child = self._fork(format, cpu_seconds=None, is_trained=source.is_trained)
        try:
            return child, _loaded(
                child, source, format, signature=signature, timeout_s=self.load_timeout_s, is_trial=False
            )
        except BaseException:
            child.end()
            raise

    def try_hostile(self, attempt: str, *, timeout_s: float, arguments: dict[str, Any]) -> str:
        """Have one of the attempts made in a model process, and return in words how that ended; for the self-test."""
        request = json.dumps({"attempt": attempt, "arguments": arguments}).encode()
        source = ModelSource(request)
        child = self._fork(SELF_TEST, cpu_seconds=math.ceil(timeout_s) + 1, is_trained=False)
        try:
            child.load(source, timeout_s=timeout_s, format=SELF_TEST, signature=None, is_trial=True)
        except ChildFailed as failure:
            return f"its process {failure}"
        except ModelpoolError as error:
            return error.detail
        finally:
            child.end()
            source.close()
        return "nothing was tried"

    def _fork(self, format: str, *, cpu_seconds: int | None, is_trained: bool) -> Child:
        """Have a child forked, by a new zygote when the old one is gone."""
        for _ in range(2):
            zygote = self._running_zygote()
            try:
                return Child(
                    zygote.fork(
                        format=format,
                        memory_bytes=self.memory_limit,
                        cpu_seconds=cpu_seconds,
                        requires_all=not (is_trained or self.guard.allows_weak),
                    )
                )
            except ZygoteGone:
                self._discard(zygote)
        raise ModelUnavailable("The process that models are started from fails; see the server's log.")

    def _running_zygote(self) -> Zygote:
        with self._lock:
            if self._is_closed:
                raise ModelUnavailable("The server is shutting down.")
            if self._owner_pid != os.getpid():  # this is a fork of the process that made the host
                self._owner_pid, self._zygote = os.getpid(), None
            if self._zygote is None:
                self.guard.warn_once()
                self._zygote = Zygote()
            return self._zygote

    def _discard(self, zygote: Zygote) -> None:
        with self._lock:
            if self._zygote is not zygote:
                return
            self._zygote = None
        zygote.close()

    def close(self) -> None:
        """End all children; models of this host answer :class:`~modelpool.core.errors.ModelUnavailable` afterwards."""
        with self._lock:
            self._is_closed = True
            zygote, self._zygote = self._zygote, None
        if zygote is not None and self._owner_pid == os.getpid():
            zygote.close()


def _check_head(source: ModelSource, *, format: str | None, filename: str | None) -> ModelFormat:
    if source.size_bytes == 0:
        raise UnloadableModel("The file is empty.")
    found = detect_format(source.head(HEAD_BYTES), filename)
    if format is not None and format != found.name:
        known = ", ".join(FORMATS.names())
        raise UnloadableModel(
            f"The file is not of the format {format!r} but looks like {found.name!r}; there are {known}."
        )
    return found


def _loaded(
    child: Child,
    source: ModelSource,
    format: str,
    *,
    signature: ModelSignature | None,
    timeout_s: float,
    is_trial: bool,
) -> dict[str, Any]:
    given = None if signature is None else signature.to_dict()
    try:
        return child.load(source, timeout_s=timeout_s, format=format, signature=given, is_trial=is_trial)
    except ChildFailed as failure:
        detail = f"The model cannot be loaded: its process {failure}."
        if child.is_lost:  # with its zygote, which says nothing about the file
            raise ModelUnavailable(detail, retry_after_s=1) from failure
        raise UnloadableModel(detail) from failure


def _inspection(format: str, facts: dict[str, Any]) -> Inspection:
    """Check what the child says: by then it may be anyone's word."""
    try:
        signature = ModelSignature.from_dict(facts["signature"])
        found = msgspec.convert(
            {"format": format, "signature": signature, "size_bytes": facts["size_bytes"], "classes": signature.classes,
             "warnings": facts["warnings"]},
            Inspection,
        )  # fmt: skip
    except (KeyError, msgspec.ValidationError) as error:
        raise UnloadableModel(f"The signature of the model is malformed: {error}.") from error
    if not signature.inputs or not signature.outputs or len(signature.inputs) + len(signature.outputs) > MAX_INPUTS:
        raise UnloadableModel(f"A signature needs 1 to {MAX_INPUTS} inputs and outputs.")
    if len({spec.name for spec in signature.inputs}) != len(signature.inputs):
        raise UnloadableModel("The signature names an input twice.")
    return found
