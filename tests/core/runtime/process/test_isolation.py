"""Whatever an uploaded file does, it does it to a child process: the parent gets a clear error and lives on."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelpool.core.errors import (
    Invalid,
    ModelpoolError,
    ModelUnavailable,
    PredictionFailed,
    UnloadableModel,
    UntrustedFormat,
)
from modelpool.core.formats import FORMATS
from modelpool.core.formats.base import LoadedModel
from modelpool.core.runtime.process.isolated_model import IsolatedModel, pause_after
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.core.signature import ModelSignature, TensorSpec
from tests.core.formats import hostile
from tests.waiting import wait_until

ROWS = {"x": np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)}


@pytest.fixture(scope="module")
def host() -> Iterator[ModelHost]:
    made = ModelHost(1 << 30, predict_timeout_s=20.0)
    yield made
    made.close()


@pytest.fixture
def model(host: ModelHost) -> Iterator[IsolatedModel]:
    data = hostile.identity()
    loaded = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    yield loaded
    loaded.close()


def _is_running(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# --- good files -------------------------------------------------------------------------------------------------------


def test_inspection_of_an_onnx_file(host: ModelHost, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(hostile.identity())
    descriptor = os.open(path, os.O_RDONLY)
    for data in (path.read_bytes(), path, descriptor):
        found = host.inspect(data, filename="model.onnx")
        assert found.format == "onnx"
        assert found.signature == FORMATS["onnx"].signature_of(path.read_bytes())
        assert 0 < found.size_bytes < 1 << 28
    os.close(descriptor)


@pytest.mark.slow
def test_inspection_of_a_skops_file_tells_classes(host: ModelHost) -> None:
    found = host.inspect(hostile.good_tree(), filename="tree.skops")
    assert found.format == "sklearn"
    assert found.classes == (False, True)
    assert found.signature.methods == ("predict", "predict_proba")


def test_isolated_model_answers_like_the_model_itself(model: IsolatedModel) -> None:
    assert model.predict(ROWS, ["predict"])["predict"].tolist() == [[1, 2], [3, 4]]
    assert model.size_bytes > 0


def test_text_travels(host: ModelHost) -> None:
    from modelpool.core.compile.estimator import emit_model
    from modelpool.core.compile.parity import as_arrays
    from tests.core.compile.families import CLASSIFIERS, labels_of, pipeline, signature_for, table

    frame = table(60)
    fitted = pipeline(CLASSIFIERS["logistic"]()).fit(frame, labels_of(frame, "text"))
    signature = signature_for(frame, classes=fitted.classes_)
    arrays = as_arrays(frame, signature)
    isolated = host.load(emit_model(fitted, signature=signature), format="onnx", signature=signature)
    for inputs in (arrays, dict(arrays)):
        assert isolated.predict(inputs, ["predict"])["predict"].tolist() == fitted.predict(frame).tolist()
    isolated.close()


@pytest.mark.slow
def test_estimator_that_does_not_compile_answers_alike_from_its_own_process(host: ModelHost) -> None:
    from sklearn.gaussian_process import GaussianProcessClassifier

    from modelpool.core.compile import compile_estimator
    from modelpool.core.compile.parity import as_arrays
    from tests.core.compile.families import labels_of, pipeline, signature_for, table

    frame = table(60)
    fitted = pipeline(GaussianProcessClassifier()).fit(frame, labels_of(frame, "text"))
    signature = signature_for(frame, classes=fitted.classes_)
    assert compile_estimator(fitted, signature=signature, sample=frame).data is None
    isolated = host.load(FORMATS["sklearn"].save(fitted, signature=signature), format="sklearn", signature=signature)
    arrays = as_arrays(frame, signature)
    for inputs in (arrays, dict(arrays)):
        answers = isolated.predict(inputs, signature.methods)
        assert answers["predict"].tolist() == fitted.predict(frame).tolist()
        np.testing.assert_allclose(answers["predict_proba"], fitted.predict_proba(frame))
    isolated.close()


def test_preloaded_format_is_imported_in_the_zygote_alone(host: ModelHost) -> None:
    host.preload("onnx")
    assert host._zygote is not None
    assert "onnxruntime" in Path(f"/proc/{host._zygote.pid}/maps").read_text()


def test_threads_take_turns(model: IsolatedModel) -> None:
    answers: list[Any] = []

    def ask(value: float) -> None:
        got = model.predict({"x": np.full((1, 2), value, dtype=np.float32)}, ["predict"])["predict"]
        answers.append((value, got.tolist()))

    threads = [threading.Thread(target=ask, args=(float(number),)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [(float(number), [[number, number]]) for number in range(16)]


# --- hostile files ----------------------------------------------------------------------------------------------------

HOSTILE: dict[str, tuple[Callable[[], bytes], str, type[ModelpoolError], str]] = {
    "loop": (hostile.loop_bomb, "m.onnx", UntrustedFormat, "Loop"),
    "external data": (hostile.external_data, "m.onnx", UntrustedFormat, "other files"),
    "custom domain": (hostile.custom_domain, "m.onnx", UntrustedFormat, "domain"),
    "memory bomb": (hostile.memory_bomb, "m.onnx", UnloadableModel, "alloc|memory"),
    "cut onnx": (lambda: hostile.identity()[:60], "m.onnx", UnloadableModel, "cut off|graph"),
    "random onnx": (lambda: b"\x08\x09" + np.random.default_rng(0).bytes(4096), "m.onnx", UnloadableModel, "ONNX"),
    "random bytes": (lambda: np.random.default_rng(1).bytes(4096), "m.onnx", UnloadableModel, "no format"),
    "empty": (lambda: b"", "m.onnx", UnloadableModel, "empty"),
    "pickle": (lambda: pickle.dumps(print), "m.onnx", UntrustedFormat, "pickle"),
    "unknown type": (hostile.unknown_type, "m.skops", UntrustedFormat, "savetxt"),
    "self loop": (lambda: hostile.altered_tree(left_child=0), "m.skops", UnloadableModel, "children"),
    "far child": (lambda: hostile.altered_tree(right_child=10**6), "m.skops", UnloadableModel, "children"),
    "far feature": (lambda: hostile.altered_tree(feature=10**6), "m.skops", UnloadableModel, "features"),
    "cut zip": (lambda: hostile.good_tree()[:-300], "m.skops", UnloadableModel, "cut off"),
    "zip bomb": (hostile.zip_bomb, "m.skops", UnloadableModel, "inflate"),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if case[1] == "m.skops" else ()) for name, case in HOSTILE.items()],
)
def test_hostile_file_is_refused_with_the_right_error(name: str, host: ModelHost) -> None:
    make, filename, error, words = HOSTILE[name]
    with pytest.raises(error, match=words):
        host.inspect(make(), filename=filename, timeout_s=30)
    assert host.inspect(hostile.identity(), filename="m.onnx").format == "onnx"


def test_named_format_must_be_the_file_s(host: ModelHost) -> None:
    with pytest.raises(UnloadableModel, match="looks like 'onnx'"):
        host.inspect(hostile.identity(), format="sklearn")


def test_wrong_signature_is_refused(host: ModelHost) -> None:
    wrong = ModelSignature(
        inputs=(TensorSpec("z", "float32", (-1, 2)),), outputs=(TensorSpec("predict", "float32", (-1, 2)),)
    )
    with pytest.raises(UnloadableModel, match="'z'"):
        host.inspect(hostile.identity(), signature=wrong)


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ({}, r"signature\.example\.x: is missing"),
        ({"x": [1.0, 2.0], "y": 1}, r"signature\.example\.y: is not an input"),
    ],
)
def test_example_that_no_prediction_takes_is_refused(host: ModelHost, example: dict[str, object], said: str) -> None:
    signature = FORMATS["onnx"].signature_of(hostile.identity())
    wrong = ModelSignature(signature.inputs, signature.outputs, example=example)
    with pytest.raises(Invalid, match=said):
        host.inspect(hostile.identity(), signature=wrong)


def test_wrong_example_is_refused(host: ModelHost) -> None:
    signature = FORMATS["onnx"].signature_of(hostile.identity())
    wrong = ModelSignature(signature.inputs, signature.outputs, example={"x": ["a", "b"]})
    with pytest.raises(Invalid, match="example"):
        host.inspect(hostile.identity(), signature=wrong)


# --- files that crash and hang whatever checks there are --------------------------------------------------------------


def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start zygotes that do not look at trees, as if a crash had found its way past the checks."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "unchecked"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"left_child": 0, "right_child": 0}, "did not answer within"),
        ({"left_child": 10**9, "right_child": 10**9}, "SIGSEGV"),
    ],
    ids=["hang", "crash"],
)
@pytest.mark.slow
def test_hang_and_crash_are_ended(changes: dict[str, int], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _unchecked(monkeypatch)
    careless = ModelHost(1 << 30)
    try:
        with pytest.raises(UnloadableModel, match=words):
            careless.inspect(hostile.altered_tree(**changes), timeout_s=3)
        assert careless.inspect(hostile.identity()).format == "onnx"
    finally:
        careless.close()


def test_memory_beyond_the_limit_is_refused() -> None:
    small = ModelHost(64 << 20)
    try:
        with pytest.raises(UnloadableModel):
            small.inspect(_constant(1 << 26))
        assert small.inspect(_constant(16)).format == "onnx"
    finally:
        small.close()


def _constant(count: int) -> bytes:
    """A graph whose constant takes four bytes ``count`` times when it is loaded or run."""
    from onnx import TensorProto, helper

    shape = helper.make_tensor("s", TensorProto.INT64, [1], [count])
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["big"]),
        helper.make_node("ReduceMax", ["big"], ["top"]),
        helper.make_node("Add", ["x", "top"], ["y"]),
    ]
    return hostile._model(nodes, initializers=[shape])


# --- what a child may not do ------------------------------------------------------------------------------------------


def test_child_is_restricted(model: IsolatedModel) -> None:
    status = Path(f"/proc/{model.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    limits = Path(f"/proc/{model.pid}/limits").read_text().splitlines()
    values = {line[:26].strip(): line[26:46].strip() for line in limits}
    assert values["Max file size"] == "0"
    assert values["Max core file size"] == "0"
    assert values["Max open files"] == "64"
    assert int(values["Max address space"]) > 1 << 30


def test_child_has_no_secrets_and_one_socket(model: IsolatedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPOOL_TEST_SECRET", "hush")
    names = {entry.partition("=")[0] for entry in Path(f"/proc/{model.pid}/environ").read_text().split("\0")}
    assert not any(name.startswith(("MODELPOOL", "DATABASE", "AWS")) for name in names)
    targets = [os.readlink(f"/proc/{model.pid}/fd/{number}") for number in os.listdir(f"/proc/{model.pid}/fd")]  # noqa: PTH115, PTH208
    assert sorted(target.partition(":")[0] for target in targets) == ["/dev/null", "/dev/null", "/dev/null", "socket"]


# --- crashes while serving --------------------------------------------------------------------------------------------


def test_killed_idle_child_comes_back_unnoticed(model: IsolatedModel) -> None:
    first = model.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not _exists(first))
    assert model.predict(ROWS, ["predict"])["predict"].tolist() == [[1, 2], [3, 4]]
    assert model.pid != first


def test_a_child_that_dies_after_every_answer_is_given_up(model: IsolatedModel) -> None:
    reasons: list[str] = []
    model.watch(fault_limit=3, on_quarantine=reasons.append)
    for _ in range(3):
        assert model.predict(ROWS, ["predict"])["predict"].tolist() == [[1, 2], [3, 4]]
        pid = model.pid
        assert pid is not None
        os.kill(pid, signal.SIGSEGV)
        wait_until(lambda pid=pid: not _exists(pid))  # type: ignore[misc]
    with pytest.raises(ModelUnavailable, match="quarantine after 3 faults"):
        model.predict(ROWS, ["predict"])
    (reason,) = reasons
    assert "SIGSEGV" in reason
    assert "while nobody asked it" in reason


@pytest.mark.slow
def test_child_stopped_in_mid_call_misses_the_deadline_and_comes_back() -> None:
    data = hostile.identity()
    short = ModelHost(1 << 30, predict_timeout_s=0.5)
    try:
        loaded = short.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
        pid = loaded.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ModelUnavailable, match="within") as caught:
            loaded.predict(ROWS, ["predict"])
        assert caught.value.retry_after_s is not None
        assert not _exists(pid)
        assert loaded.predict(ROWS, ["predict"])["predict"].shape == (2, 2)
        loaded.close()
    finally:
        short.close()


def test_child_killed_in_mid_call_is_an_error_and_comes_back(model: IsolatedModel) -> None:
    pid = model.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    failures: list[ModelpoolError] = []

    def ask() -> None:
        try:
            model.predict(ROWS, ["predict"])
        except ModelpoolError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(model.lock.locked)
    os.kill(pid, signal.SIGKILL)
    thread.join(20)
    if failures:  # otherwise the kill came before the request was sent, and the call was served by a new child
        assert isinstance(failures[0], ModelUnavailable)
        assert "killed" in failures[0].detail or "process" in failures[0].detail
    assert model.predict(ROWS, ["predict"])["predict"].shape == (2, 2)


def test_closing_in_mid_call_ends_the_call(host: ModelHost) -> None:
    data = hostile.identity()
    loaded = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    assert loaded.pid is not None
    os.kill(loaded.pid, signal.SIGSTOP)
    failures: list[ModelpoolError] = []

    def ask() -> None:
        try:
            loaded.predict(ROWS, ["predict"])
        except ModelpoolError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(loaded.lock.locked)
    loaded.close()
    thread.join(20)
    assert [type(failure) for failure in failures] == [ModelUnavailable]


def test_repeated_failures_pause_longer_and_longer() -> None:
    assert [pause_after(failures) for failures in (0, 1, 2, 3, 4, 40)] == [0, 0, 0.5, 1, 2, 30]


def test_failed_prediction_leaves_the_child_alive(model: IsolatedModel) -> None:
    pid = model.pid
    with pytest.raises(PredictionFailed, match="refuses"):
        model.predict({"x": np.zeros((1, 7), dtype=np.float32)}, ["predict"])
    assert model.predict(ROWS, ["predict"])["predict"].shape == (2, 2)
    assert model.pid == pid


def test_closed_model_ends_its_child_without_a_zombie(host: ModelHost) -> None:
    data = hostile.identity()
    loaded: LoadedModel = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    assert isinstance(loaded, IsolatedModel)
    pid = loaded.pid
    assert pid is not None
    loaded.close()
    assert not _exists(pid)
    with pytest.raises(ModelUnavailable):
        loaded.predict(ROWS, ["predict"])


def test_killed_zygote_is_replaced_and_its_children_end(host: ModelHost, model: IsolatedModel) -> None:
    zygote, child = host._zygote, model.pid
    assert zygote is not None
    assert child is not None
    os.kill(zygote.pid, signal.SIGKILL)
    wait_until(lambda: not _is_running(child))
    assert model.predict(ROWS, ["predict"])["predict"].shape == (2, 2)
    assert host._zygote is not zygote
    assert not _exists(zygote.pid)


def test_closed_host_ends_everything() -> None:
    data = hostile.identity()
    ending = ModelHost(1 << 30)
    loaded = ending.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    pid, zygote = loaded.pid, ending._zygote
    assert pid is not None
    assert zygote is not None
    ending.close()
    wait_until(lambda: not _is_running(pid))
    assert not _exists(zygote.pid)
    with pytest.raises(ModelUnavailable):
        loaded.predict(ROWS, ["predict"])
    with pytest.raises(ModelUnavailable):
        ending.inspect(data)
    loaded.close()


PARENT = """
import sys
from modelpool.core.formats import FORMATS
from modelpool.core.runtime.process.isolation import ModelHost
data = sys.stdin.buffer.read()
host = ModelHost(1 << 30)
signature = host.inspect(data).signature
model = host.load(data, format="onnx", signature=signature)
heavy = {"sklearn", "pandas", "onnx", "scipy", "skops", "skl2onnx", "pyarrow"} & set(sys.modules)
print(host._zygote.pid, model.pid, sorted(heavy), flush=True)
sys.stdin.close()
import time; time.sleep(60)
"""


def test_children_die_with_a_killed_parent_that_stayed_lean() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(hostile.identity())
    parent.stdin.close()
    zygote, child, heavy = parent.stdout.readline().decode().split(maxsplit=2)
    assert heavy.strip() == "[]"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not _is_running(int(zygote)) and not _is_running(int(child)))
