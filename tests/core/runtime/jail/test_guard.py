"""Without a layer of the jail, or when something got out of it, uploads are opened nowhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelpool.core.errors import IsolationUnavailable
from modelpool.core.formats import FORMATS
from modelpool.core.runtime.jail.guard import Guard, Verdict
from modelpool.core.runtime.jail.layers import LEAKING, NO_LANDLOCK, NO_SECCOMP, probe_layers
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.core.runtime.selftest.result import SelfTest, read_result, start_of_parent
from modelpool.core.runtime.selftest.run import run_attempts
from tests.core.formats import hostile

complete = pytest.mark.skipif(bool(probe_layers().missing), reason="this kernel has not all layers of the jail")
FEW = ("read a file", "fork", "connect by TCP", "loop in native code")


@pytest.fixture
def host() -> Iterator[Callable[..., ModelHost]]:
    made: list[ModelHost] = []

    def make(**settings: bool) -> ModelHost:
        made.append(ModelHost(1 << 30, guard=Guard(**settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.slow
@pytest.mark.parametrize(("failpoint", "name"), [(NO_LANDLOCK, "Landlock"), (NO_SECCOMP, "seccomp")])
def test_missing_layer_refuses_what_was_uploaded_and_serves_what_was_trained(
    failpoint: str, name: str, host: Callable[..., ModelHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELPOOL_FAILPOINT", failpoint)
    strict, data = host(), hostile.identity()
    signature = FORMATS["onnx"].signature_of(data)
    with pytest.raises(IsolationUnavailable, match=f"no {name}.*allow_weak_isolation"):
        strict.inspect(data)
    with pytest.raises(IsolationUnavailable, match=name):
        strict.load(data, format="onnx", signature=signature)
    strict.load(data, format="onnx", signature=signature, is_trained=True).close()


@complete
@pytest.mark.parametrize(("failpoint", "attempt"), [(NO_LANDLOCK, "read the users"), (NO_SECCOMP, "fork")])
def test_child_asks_itself_and_opens_nothing(
    failpoint: str, attempt: str, host: Callable[..., ModelHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the process that asks for it believes of the kernel."""
    trusting = host()
    assert trusting.guard.layers.missing == ()
    monkeypatch.setenv("MODELPOOL_FAILPOINT", failpoint)
    assert "its process ended by itself" in trusting.try_hostile(attempt, timeout_s=20, arguments={})


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", [NO_LANDLOCK, NO_SECCOMP])
def test_operator_may_consent_to_less_with_a_loud_warning(
    failpoint: str, host: Callable[..., ModelHost], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MODELPOOL_FAILPOINT", failpoint)
    weak = host(allows_weak=True)
    for _ in range(2):
        assert weak.inspect(hostile.identity()).format == "onnx"
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "WHOEVER MAY UPLOAD" in caplog.text


def test_escape_found_by_the_self_test_refuses_uploads_and_a_late_one_makes_them_wait() -> None:
    verdicts: list[Verdict | None] = [None]
    guard = Guard(await_verdict=lambda _: verdicts[0])
    if guard.layers.missing:
        pytest.skip("this kernel has not all layers of the jail")
    with pytest.raises(IsolationUnavailable, match="still being tested"):
        guard.admit_upload()
    guard.admit_model()
    verdicts[0] = Verdict(escaped=("fork",))
    for admit in (guard.admit_upload, guard.admit_model):
        with pytest.raises(IsolationUnavailable, match="can: fork"):
            admit()
    verdicts[0] = Verdict(failure="no process")
    with pytest.raises(IsolationUnavailable, match="no process"):
        guard.admit_upload()
    guard.admit_model()
    verdicts[0] = Verdict(n_attempts=3)
    guard.admit_upload()


@pytest.mark.slow
@complete
def test_self_test_stops_every_attempt() -> None:
    verdict = run_attempts(FEW)
    assert (verdict.escaped, verdict.failure, verdict.n_attempts) == ((), "", len(FEW))


@complete
def test_self_test_finds_a_jail_that_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPOOL_FAILPOINT", LEAKING)
    verdict = run_attempts(("read a file", "make a symbolic link", "connect by TCP"))
    assert verdict.escaped == (
        "read a file",
        "make a symbolic link",
        "connect by TCP",
        "change files",
        "reach the network",
    )
    assert "can: read a file" in verdict.problem


@complete
@pytest.mark.slow
def test_self_test_runs_once_for_each_start_and_leaves_nothing(tmp_path: Path) -> None:
    first, second = (SelfTest(tmp_path, start="a") for _ in range(2))
    for each in (first, second):
        each.start()
    verdicts = [each.await_verdict(120) for each in (first, second)]
    assert verdicts[0] == verdicts[1] == getattr(read_result(tmp_path), "verdict", None)
    assert verdicts[0] is not None
    assert verdicts[0].problem == ""
    assert verdicts[0].n_attempts > 20
    again = SelfTest(tmp_path, start="b")
    again.start()
    again.close()
    result = read_result(tmp_path)
    assert result is not None
    assert result.start == "a"


def test_start_of_the_server_is_named_after_its_parent() -> None:
    assert start_of_parent() == start_of_parent()
    assert start_of_parent().count(":") == 2
