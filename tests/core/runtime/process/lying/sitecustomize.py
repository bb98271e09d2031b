"""Loaded by the interpreter when this folder is on its path: models misbehave when a row holds one of these numbers.

Stands for a model process that a hostile file has taken over: what it sends is not what it was asked for.
"""

import ctypes
import struct
import time

from modelpool.core.formats.onnx_session import OnnxModel
from modelpool.core.runtime.process import wire

FEWER_ROWS, TOO_LONG, TWICE, CRASH, HANG, LEAK, LATE, ANOTHER_CALL, ONLY_ALONE, NESTED, WIDER, DEEPER, TEXTS = range(
    1001, 1014
)

_predict, _send = OnnxModel.predict, wire.send
_kept: list[bytearray] = []
_now: set[int] = set()


def predict(self, inputs, outputs):
    rows = inputs["x"]
    _now.clear()
    _now.update(int(value) for value in rows.ravel() if value > 1000)
    if CRASH in _now or (ONLY_ALONE in _now and len(rows) > 1):
        ctypes.string_at(0)
    while HANG in _now:
        pass
    if LATE in _now:
        time.sleep(0.8)
    if LEAK in _now:
        _kept.append(bytearray(10 << 20))
    answers = _predict(self, inputs, outputs)
    if FEWER_ROWS in _now:
        answers = {name: array[1:] for name, array in answers.items()}
    if WIDER in _now:
        answers = {name: array.repeat(2, axis=1) for name, array in answers.items()}
    if DEEPER in _now:
        answers = {name: array[..., None] for name, array in answers.items()}
    if TEXTS in _now:
        answers = {name: array.astype(str).astype(object) for name, array in answers.items()}
    if TOO_LONG in _now:
        answers = {name: array.repeat(4_000_000, axis=1) for name, array in answers.items()}
    return answers


def send(channel, kind, arrays=None, **facts):
    if kind == "answer" and ANOTHER_CALL in _now:
        facts["call"] -= 1
    if kind == "answer" and NESTED in _now:
        header = b"\x93\xa6answer\x90\x81\xa1a" + b"\x91" * 5000
        channel.sendall(struct.pack("<IQ", len(header), 0) + header)
        return
    _send(channel, kind, arrays, **facts)
    if kind == "answer" and TWICE in _now:
        _send(channel, kind, arrays, **facts)


OnnxModel.predict = predict
wire.send = send
