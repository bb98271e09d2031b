"""Files that were changed at random: refused, answered, or the death of a child in words; never the parent's."""

from __future__ import annotations

import io
import json
import os
import random
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from modelpool.core.errors import ModelpoolError
from modelpool.core.formats import FORMATS
from modelpool.core.runtime.process.isolation import ModelHost
from tests.core.formats import hostile

ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0).astype(int)
MODELS: dict[str, Callable[[], Any]] = {
    "forest": lambda: RandomForestClassifier(3, max_depth=4, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=3, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=3, random_state=0),
    "neighbours": lambda: KNeighborsClassifier(3),
    "vectors": lambda: SVC(random_state=0),
}
_MORE = int(os.environ.get("MODELPOOL_TEST_MUTANTS", "1"))
"""How many times as many files as usual, for those who have the time."""
EXTREMES = (0, 1, -1, 2, 7, 255, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63), 10**6)


@pytest.fixture(scope="module")
def host() -> Iterator[ModelHost]:
    made = ModelHost(1 << 30)
    yield made
    made.close()


def _onnx(name: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import to_onnx

        return bytes(to_onnx(MODELS[name]().fit(ROWS, LABELS), ROWS[:1]).SerializeToString())


def _skops(name: str) -> bytes:
    return FORMATS["sklearn"].save(MODELS[name]().fit(ROWS, LABELS))


def _flip_bytes(data: bytes, source: random.Random) -> bytes:
    """Some bytes become others, some numbers extremes, or a piece is left out or doubled."""
    changed = bytearray(data)
    if len(changed) < 100:
        return data
    for _ in range(source.choice((1, 1, 2, 5))):
        at = source.randrange(max(len(changed) - 8, 1))
        kind = source.randrange(4)
        if kind == 0:
            changed[at] = source.randrange(256)
        elif kind == 1:
            changed[at : at + 8] = (source.choice(EXTREMES) % 2**64).to_bytes(8, "little")
        elif kind == 2:
            del changed[at : at + source.randrange(1, 16)]
        else:
            changed[at:at] = changed[at : at + source.randrange(1, 16)]
    return bytes(changed)


def _change_archive(data: bytes, source: random.Random) -> bytes:
    """A member is changed, and the archive written again with the right checksums."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = source.choice(["schema.json", source.choice(sorted(members))])
    if name == "schema.json" and source.random() < 0.8:
        members[name] = _change_schema(members[name], source)
    else:
        head = 128 if name.endswith(".npy") and source.random() < 0.8 else 0  # past the header: the numbers
        members[name] = members[name][:head] + _flip_bytes(members[name][head:] + bytes(9), source)[:-9]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return buffer.getvalue()


def _change_schema(text: bytes, source: random.Random) -> bytes:
    schema = json.loads(text)
    places: list[tuple[Any, Any]] = []
    waiting = [schema]
    while waiting:
        item = waiting.pop()
        pairs = item.items() if isinstance(item, dict) else enumerate(item)
        for key, value in pairs:
            places.append((item, key))
            if isinstance(value, dict | list):
                waiting.append(value)
    for _ in range(source.choice((1, 1, 3))):
        holder, key = source.choice(places)
        kind = source.randrange(3)
        if kind == 0:
            holder[key] = source.choice([*EXTREMES, "", None, [], {}, "x" * 100, 1.5, True])
        elif kind == 1:
            other, name = source.choice(places)
            holder[key] = other[name] if holder is not other else 0
        elif isinstance(holder[key], str) and re.fullmatch(r"-?\d+", holder[key]):
            holder[key] = str(source.choice(EXTREMES))
    try:
        return json.dumps(schema).encode()
    except (ValueError, RecursionError):  # it came to hold itself
        return text


def _try_all(files: Iterator[bytes], host: ModelHost, *, filename: str) -> dict[str, int]:
    """Look into every file; return how often each kind of ending came."""
    endings: dict[str, int] = {}
    before = None
    for data in files:
        try:
            found = host.inspect(data, filename=filename, timeout_s=5)
            ending = f"accepted {found.format}"
        except ModelpoolError as error:
            ending = error.detail.split("its process ")[-1][:40] if "its process" in error.detail else error.code
        assert ending
        endings[ending] = endings.get(ending, 0) + 1
        assert host._zygote is not None
        before = before or host._zygote.pid
        assert host._zygote.pid == before  # nothing ever reaches the process that others are forked from
    assert host.inspect(hostile.identity()).format == "onnx"
    return endings


def _mutants(data: bytes, change: Callable[[bytes, random.Random], bytes], *, count: int) -> Iterator[bytes]:
    for seed in range(count):
        yield change(data, random.Random(seed))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forest", "vectors"])
def test_changed_onnx_files_harm_nobody(name: str, host: ModelHost) -> None:
    endings = _try_all(_mutants(_onnx(name), _flip_bytes, count=20 * _MORE), host, filename="m.onnx")
    assert sum(count for ending, count in endings.items() if not ending.startswith("accepted")) > 5 * _MORE, endings


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forest", "boosting", "histogram", "vectors"])  # neighbours are exported with a loop
def test_many_changed_onnx_files_harm_nobody(name: str, host: ModelHost) -> None:
    _try_all(_mutants(_onnx(name), _flip_bytes, count=60 * _MORE), host, filename="m.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_many_changed_skops_files_harm_nobody(name: str, host: ModelHost) -> None:
    host.preload("sklearn")
    endings = _try_all(_mutants(_skops(name), _change_archive, count=60 * _MORE), host, filename="m.skops")
    assert sum(count for ending, count in endings.items() if not ending.startswith("accepted")) > 5 * _MORE, endings


@pytest.mark.slow
def test_changed_archives_harm_nobody(host: ModelHost) -> None:
    endings = _try_all(_mutants(_skops("forest"), _flip_bytes, count=20 * _MORE), host, filename="m.skops")
    assert sum(count for ending, count in endings.items() if not ending.startswith("accepted")) > 10 * _MORE, endings
