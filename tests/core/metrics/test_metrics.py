"""Metrics of several processes are one page: exact, bounded, and never going back."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelpool.core.metrics import catalogue
from modelpool.core.metrics.admission import IDLE_S, OTHER, REPLACED_AFTER_S, Admission
from modelpool.core.metrics.exposition import render
from modelpool.core.metrics.families import DIRECTORY_VARIABLE, REGISTRY
from modelpool.core.metrics.merging import collect
from modelpool.core.metrics.samples import NOWHERE, SampleFile, read_records

_COUNTS = """
import os, signal, sys, time
from modelpool.core.metrics import catalogue
for _ in range(1000):
    catalogue.POOL_LOADS.inc()
    catalogue.REJECTED.labels("overloaded").inc(2)
catalogue.QUEUE_SECONDS.labels().observe_all([0.0001, 0.3, 99.0])
catalogue.POOL_BYTES.set(7)
catalogue.READY.set(float(sys.argv[1]))
catalogue.PREDICTIONS.labels("v1", "200", "acme", "churn", "3", "1").inc(5)
catalogue.PREDICTIONS.labels("v1", "200", "acme", "gone", "1", "2").inc(4)
print("done", flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def _process(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _COUNTS, *arguments],
        env={**os.environ, DIRECTORY_VARIABLE: str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"done\n"
    return process


def _page(folder: Path, **admitted: str) -> dict[str, dict[tuple[str, ...], float]]:
    merged = collect(folder, {("acme", model): number for model, number in admitted.items()})
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(render(merged).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_processes_living_and_dead_are_summed_up_and_gauges_are_of_the_living(folder):
    killed = _process(folder, "0", "killed")
    killed.communicate()
    living = [_process(folder, "1", "lives"), _process(folder, "1", "lives")]
    for _ in range(2):  # the second time, the dead one's file is gone
        page = _page(folder, churn="1")
        assert page["modelpool_pool_loads_total"] == {(): 3000}
        assert page["modelpool_rejected_total"] == {("overloaded",): 6000}
        assert page["modelpool_queue_seconds_count"] == {(): 9}
        assert page["modelpool_queue_seconds_bucket"][("0.0005",)] == 3
        assert page["modelpool_queue_seconds_bucket"][("30.0",)] == 6
        assert page["modelpool_queue_seconds_bucket"][("+Inf",)] == 9
        assert page["modelpool_queue_seconds_sum"][()] == pytest.approx(3 * 99.3001)
        assert page["modelpool_pool_bytes"] == {(): 14}
        assert page["modelpool_ready"] == {(): 1}
        assert len(list(folder.glob("*.samples"))) == 2
    for process in living:
        process.communicate()
    page = _page(folder, churn="1")
    assert page["modelpool_pool_loads_total"] == {(): 3000}
    assert "modelpool_pool_bytes" not in page
    assert list(folder.glob("*.samples")) == []


def test_fold_that_was_interrupted_counts_nobody_twice(folder):
    process = _process(folder, "1", "killed")
    process.communicate()
    (file,) = folder.glob("*.samples")
    copy = file.read_bytes()
    assert _page(folder)["modelpool_pool_loads_total"] == {(): 1000}
    file.write_bytes(copy)  # as if the process that folded had died before it could delete the file
    assert _page(folder)["modelpool_pool_loads_total"] == {(): 1000}
    assert not file.exists()
    assert _page(folder)["modelpool_pool_loads_total"] == {(): 1000}


def test_models_that_are_not_admitted_are_counted_together(folder):
    _process(folder, "1", "killed").communicate()
    page = _page(folder, churn="1")
    assert page["modelpool_predictions_total"] == {
        ("v1", "200", "acme", "churn", "3"): 5,
        ("v1", "200", OTHER, OTHER, OTHER): 4,
    }
    page = _page(folder, churn="9")  # admitted anew: the old number's counts stay with the others
    assert page["modelpool_predictions_total"] == {("v1", "200", OTHER, OTHER, OTHER): 9}


def test_private_labels_can_be_summed_away(folder):
    _process(folder, "1", "killed").communicate()
    page = render(collect(folder, {}), without=frozenset({"tenant", "model", "version"})).decode()
    assert 'modelpool_predictions_total{wire="v1",status="200"} 9.0' in page
    assert "acme" not in page


def test_forked_child_does_not_write_into_its_parents_file(folder):
    code = """
import os
from modelpool.core.metrics import catalogue
catalogue.POOL_LOADS.inc()
if os.fork() == 0:
    catalogue.POOL_LOADS.inc(10)
    os._exit(0)
os.wait()
catalogue.POOL_LOADS.inc()
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, DIRECTORY_VARIABLE: str(folder)}, check=True)
    assert _page(folder)["modelpool_pool_loads_total"] == {(): 12}
    assert len(list(folder.iterdir())) == 2  # the lock, and the file of the dead


def test_file_reuses_what_is_given_back_and_grows_where_it_must(tmp_path):
    file = SampleFile(tmp_path / "file")
    for _ in range(5000):
        file.remove(file.add(b"key", (1.0, 2.0)))
    assert (tmp_path / "file").stat().st_size == 64 * 1024
    for at in range(5000):
        file.add(b"key %d" % at, (float(at),))
    records = dict(read_records(tmp_path / "file"))
    assert records[b"key 4999"] == (4999.0,)
    assert len(records) == 5000


def test_values_of_a_process_alone_grow_as_well():
    file = SampleFile(None)
    for at in range(5000):
        file.add(b"key %d" % at, (float(at),) * 16)
    assert dict(file.records())[b"key 4999"] == (4999.0,) * 16


def _allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_pages_of_the_file_are_the_disks_before_they_are_written(tmp_path):
    file = SampleFile(tmp_path / "one")
    assert _allocated(tmp_path / "one") >= (tmp_path / "one").stat().st_size
    for at in range(2000):
        file.add(b"%d" % at, [float(at)])
    assert _allocated(tmp_path / "one") >= (tmp_path / "one").stat().st_size >= 2000 * 64


@pytest.fixture
def fill_disk(monkeypatch):
    def is_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda: monkeypatch.setattr(os, "posix_fallocate", is_full)


def test_full_disk_takes_no_more_records_and_keeps_those_it_has(tmp_path, fill_disk):
    file = SampleFile(tmp_path / "one")
    first = file.add(b"first", [1.0])
    fill_disk()
    places = [file.add(b"%d" % at, [float(at)]) for at in range(2000)]
    assert places[0] != NOWHERE
    assert places[-1] == NOWHERE
    file.write(first, [2.0])
    file.write(NOWHERE, [3.0])
    file.remove(NOWHERE)
    found = dict(read_records(tmp_path / "one"))
    assert found[b"first"] == (2.0,)
    assert len(found) == 1 + sum(place != NOWHERE for place in places)


def test_full_disk_costs_a_new_process_its_counts_only(tmp_path, fill_disk):
    fill_disk()
    with pytest.raises(OSError, match="No space"):
        SampleFile(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_what_the_dead_counted_stays_counted_while_the_disk_is_full(folder, fill_disk):
    dead = _process(folder, "1", "killed")
    dead.communicate()
    fill_disk()
    for _ in range(2):
        page = _page(folder, churn="1")
        assert page["modelpool_pool_loads_total"] == {(): 1000}
        assert "modelpool_pool_bytes" not in page


@pytest.mark.parametrize("data", [b"", b"MPSAMPL1", b"garbage" * 10, b"MPSAMPL1" + b"\xff" * 100])
def test_file_that_is_not_whole_is_no_error(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    assert list(read_records(tmp_path / "file")) == []


def test_label_values_are_escaped():
    merged = {"modelpool_rejected_total": {('a"b\\c\nd',): [1.0]}}
    (family,) = [f for f in text_string_to_metric_families(render(merged).decode()) if f.name == "modelpool_rejected"]
    assert family.samples[0].labels == {"reason": 'a"b\\c\nd'}


def test_names_follow_the_conventions_of_prometheus():
    for name, family in REGISTRY.items():
        assert name.startswith("modelpool_")
        assert name.endswith("_total") == (family.kind == "counter"), name
        assert family.text.endswith(".")
    assert catalogue.POOL_LOADS.name in REGISTRY


@pytest.mark.parametrize("shared", [True, False])
def test_admission_is_bounded_and_forgets_the_idle(tmp_path, shared):
    now = [0.0]
    path = tmp_path / "models" if shared else None
    one = Admission(path, limit=2, clock=lambda: now[0])
    two = Admission(path, limit=2, clock=lambda: now[0]) if shared else one
    a, b, c = ("acme", "a"), ("acme", "b"), ("acme", "c")
    first = one.admit([a])
    assert two.admit([b]).keys() == {a, b}
    assert one.admit([c]).keys() == {a, b}
    now[0] = REPLACED_AFTER_S + 1
    two.admit([b])
    assert one.admit([c]).keys() == {b, c}
    now[0] += IDLE_S + 1
    again = one.admit([a])
    assert again.keys() == first.keys()
    assert again != first  # another number: what was counted before stays with the others
    assert two.read() == again


def test_what_was_never_used_begins_at_zero_where_it_has_no_labels():
    page = render({}).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}

    assert [sample.value for sample in families["modelpool_model_quarantines"].samples] == [0.0]
    assert {sample.value for sample in families["modelpool_queue_seconds"].samples} == {0.0}
    assert "modelpool_rejected" not in families
    assert "modelpool_ready" not in families
