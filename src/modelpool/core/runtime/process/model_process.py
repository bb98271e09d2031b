"""The life of one model process: restrict itself, receive a model, answer until the socket closes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np

from modelpool.core.errors import ModelpoolError, UnloadableModel
from modelpool.core.formats.base import Arrays, LoadedModel, ModelFormat, TableArrays
from modelpool.core.formats.registry import FORMATS
from modelpool.core.runtime.jail import sandbox
from modelpool.core.runtime.jail.hostile_format import SELF_TEST, HostileFormat
from modelpool.core.runtime.memory import own_private_bytes
from modelpool.core.runtime.process import wire
from modelpool.core.runtime.process.answers import OutOfMemory
from modelpool.core.runtime.process.example_row import try_model
from modelpool.core.runtime.process.table_names import TableNames, names_sent, table_names
from modelpool.core.signature import ModelSignature

MAX_DETAIL = 600


def run(
    channel: socket.socket, *, memory_bytes: int, cpu_seconds: int | None, parent_pid: int, requires_all: bool = True
) -> None:
    """Serve one connection, then return; the caller exits without cleaning up."""
    sandbox.enter(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds, parent_pid=parent_pid, requires_all=requires_all)
    model: LoadedModel | None = _answered(channel, partial(_load, channel, *_receive_model(channel)))
    if model is None:
        return
    reader, names = wire.BlockingReader(channel), table_names(model.signature)
    while True:
        try:
            header, inputs = reader.receive()
        except wire.WireError:
            return
        _answered(channel, partial(_predict, channel, model, inputs, header.facts, names))


def _receive_model(channel: socket.socket) -> tuple[bytes, dict[str, Any]]:
    """Return the file's bytes, read from a descriptor that came with the request, and what the request says."""
    _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    request, _ = wire.receive(channel)
    data = _read_all(descriptors[0])
    os.close(descriptors[0])
    return data, request.facts


def _read_all(descriptor: int) -> bytes:
    """Read by position: the offset of the descriptor is shared with other processes."""
    size = os.fstat(descriptor).st_size
    parts: list[bytes] = []
    done = 0
    while done < size:
        parts.append(os.pread(descriptor, size - done, done))
        done += len(parts[-1]) or size
    return parts[0] if len(parts) == 1 else b"".join(parts)


def format_named(name: str) -> ModelFormat:
    """Return the format; that of the self-test is known here alone, where no upload can name it."""
    return HostileFormat() if name == SELF_TEST else FORMATS[name]


def _load(channel: socket.socket, data: bytes, request: dict[str, Any]) -> LoadedModel:
    plugin = format_named(request["format"])
    given = request.get("signature")
    if request.get("is_trial"):
        plugin.check(data)
    before = own_private_bytes()
    signature = msgspec.convert(given, ModelSignature) if given is not None else plugin.signature_of(data)
    model = plugin.load(data, signature)
    if request.get("is_trial"):
        try_model(model)
    wire.send(
        channel,
        "loaded",
        signature=signature.to_dict(),
        size_bytes=max(own_private_bytes() - before, len(data)),
        warnings=list(model.warnings),
    )
    return model


def _predict(
    channel: socket.socket,
    model: LoadedModel,
    arrays: dict[str, np.ndarray],
    facts: dict[str, Any],
    names: TableNames,
) -> None:
    inputs: Arrays = arrays
    if "table" in facts:
        numbers, texts = names_sent(facts["table"], names)
        inputs = TableArrays(
            numbers=arrays.get("numbers"), number_names=numbers, texts=arrays.get("texts"), text_names=texts
        )
    wire.send(channel, "answer", model.predict(inputs, facts["outputs"]), call=facts.get("call"))


def _answered(channel: socket.socket, action: Callable[[], Any]) -> Any:
    """Do it; tell the other side what went wrong instead, in one sentence."""
    try:
        return action()
    except ModelpoolError as error:
        _refuse(channel, error.code, error.detail)
    except MemoryError:
        _refuse(channel, OutOfMemory.code, "The model needs more memory than the limit of a model process.")
    except wire.WireError as error:
        _refuse(channel, UnloadableModel.code, f"The model's answer cannot be sent: {error}.")
    except Exception as error:  # noqa: BLE001 — the process's edge: foreign code raises whatever it likes
        _refuse(channel, UnloadableModel.code, f"The file makes its library fail: {type(error).__name__}: {error}")
    return None


def _refuse(channel: socket.socket, code: str, detail: str) -> None:
    try:
        wire.send(channel, "error", code=code, detail=" ".join(detail.split())[:MAX_DETAIL])
    except wire.WireError:
        os._exit(1)
