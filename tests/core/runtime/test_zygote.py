"""The process that model processes are forked from has one thread and no secrets, and a start from it is cheap."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpool.core.formats import FORMATS
from modelpool.core.runtime.isolation import ModelHost
from tests.core.formats import hostile


@pytest.fixture
def host() -> Iterator[ModelHost]:
    made = ModelHost(1 << 30)
    yield made
    made.close()


def _threads(pid: int) -> list[str]:
    return [(task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()]


@pytest.mark.parametrize(
    "formats", [("onnx",), pytest.param(("onnx", "sklearn"), marks=pytest.mark.slow)], ids="+".join
)
def test_zygote_has_one_thread_after_importing_everything(formats: tuple[str, ...], host: ModelHost) -> None:
    host.preload(*formats)
    data = hostile.identity()
    loaded = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    assert host._zygote is not None
    assert len(_threads(host._zygote.pid)) == 1, _threads(host._zygote.pid)
    assert loaded.pid is not None
    assert len(_threads(loaded.pid)) == 1, _threads(loaded.pid)
    loaded.close()


@pytest.mark.slow
def test_zygote_holds_neither_arrow_nor_a_model(host: ModelHost) -> None:
    host.preload("sklearn")
    assert host.inspect(hostile.good_tree()).format == "sklearn"
    assert host._zygote is not None
    maps = Path(f"/proc/{host._zygote.pid}/maps").read_text()
    assert "pandas" in maps
    assert "pyarrow" not in maps


def test_no_process_reports_to_the_maker_of_onnx_runtime(host: ModelHost) -> None:
    host.preload("onnx")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert host._zygote is not None
    assert "ORT_DISABLE_TELEMETRY=1" in Path(f"/proc/{host._zygote.pid}/environ").read_text().split("\0")
