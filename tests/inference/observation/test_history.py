"""The serving history: totals of minutes and hours that are right whoever dies, and are never counted twice."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from modelpool.core.errors import DatabaseUnavailable
from modelpool.core.runtime.pool import PoolKey
from modelpool.core.served import BOUNDS, HOUR, MINUTE, N_TIMES, WIDTH, Span, counted, quantile
from modelpool.inference.observation import journal as journals
from modelpool.inference.observation.history import HistoryWriter
from modelpool.inference.observation.journal import Journal, read_mark
from modelpool.monitoring.history import prune_served, write_served
from modelpool.monitoring.models import ServedSpan
from modelpool.monitoring.querysets import served

pytestmark = pytest.mark.django_db

_CHILD = """
import os, signal, sys
from pathlib import Path
from uuid import UUID
from types import SimpleNamespace
from modelpool.core.runtime.pool import PoolKey
from modelpool.inference.observation.journal import Journal
key = PoolKey(UUID(sys.argv[2]), UUID(sys.argv[3]), None)
Journal(Path(sys.argv[1])).count(SimpleNamespace(key=key, number=3), 200, [0.001] * int(sys.argv[4]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Route:
    key: PoolKey
    number: int = 3


@pytest.fixture
def route(tenant):
    return Route(PoolKey(tenant.pk, uuid4(), uuid4()))


def writer(folder: Path, write=write_served) -> HistoryWriter:
    return HistoryWriter(folder, write, prune=lambda: None)


def asked(tenant, *, seconds=HOUR):
    spans = served(tenant, seconds=seconds, spans=3)  # a test may run past the end of one
    return tuple(sum(getattr(span, name) for span in spans) for name in ("requests", "refused", "errors"))


def killed_after(folder: Path, route: Route, times: int) -> None:
    """Count in another process that is killed."""
    arguments = [str(folder), str(route.key.tenant_id), str(route.key.model_id), str(times)]
    done = subprocess.run([sys.executable, "-c", _CHILD, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL


def test_minutes_and_hours_tell_requests_errors_and_latencies(tmp_path, tenant, route):
    journal = Journal(tmp_path)
    journal.count(route, 200, [0.004] * 90 + [0.9] * 10)
    journal.count(route, 422, [5.0])
    journal.count(route, 500, [5.0, 5.0])
    writer(tmp_path).write()
    assert asked(tenant) == asked(tenant, seconds=MINUTE) == (103, 1, 2)
    told = max(served(tenant, spans=3), key=lambda span: span.requests)
    assert told.p50 == pytest.approx(0.004, rel=0.5)
    assert told.p95 == pytest.approx(0.9, rel=0.5)


def test_writing_again_also_by_another_process_counts_nothing_twice(tmp_path, tenant, route):
    journal, first = Journal(tmp_path), writer(tmp_path)
    journal.count(route, 200, [0.1] * 5)
    for one in (first, first, writer(tmp_path)):
        one.write()
    assert asked(tenant) == (5, 0, 0)
    journal.count(route, 200, [0.1] * 2)
    writer(tmp_path).write()
    first.write()
    assert asked(tenant) == (7, 0, 0)


def test_what_killed_processes_counted_is_written_beside_what_others_count(tmp_path, tenant, route):
    journal = Journal(tmp_path)
    journal.count(route, 200, [0.1])
    for times in (10, 20):
        killed_after(tmp_path, route, times)
        writer(tmp_path).write()
    journal.count(route, 200, [0.1])
    writer(tmp_path).write()
    assert asked(tenant) == asked(tenant, seconds=MINUTE) == (32, 0, 0)


def test_journals_of_dead_processes_go_when_their_time_is_over_and_written(tmp_path, tenant, route, monkeypatch):
    killed_after(tmp_path, route, 10)
    writer(tmp_path).write()
    (path,) = tmp_path.glob("*.samples")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 2 * HOUR)

    def refuse(source, totals):
        raise DatabaseUnavailable("away")

    with pytest.raises(DatabaseUnavailable):
        writer(tmp_path, refuse).write()
    assert path.exists()
    writer(tmp_path).write()
    assert not path.exists()
    monkeypatch.undo()
    assert asked(tenant) == (10, 0, 0)


def test_what_the_database_did_not_take_is_written_later(tmp_path, tenant, route):
    is_away = True

    def write(source, totals):
        if is_away:
            raise DatabaseUnavailable("away")
        write_served(source, totals)

    one, journal = writer(tmp_path, write), Journal(tmp_path)
    journal.count(route, 200, [0.1] * 4)
    with pytest.raises(DatabaseUnavailable):
        one.write()
    assert read_mark(tmp_path) == float("-inf")
    is_away = False
    one.write()
    assert asked(tenant) == (4, 0, 0)


def test_records_are_given_back_only_when_written_and_over(tmp_path, tenant, route, monkeypatch):
    monkeypatch.setattr(journals, "_SETTLE_S", -1.0)
    journal = Journal(tmp_path)
    journal.count(route, 200, [0.1])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3 * HOUR)
    journal.settle()
    assert len(journal._records) == 2
    writer(tmp_path).write()
    journal.settle()
    assert not journal._records
    writer(tmp_path).write()
    assert ServedSpan.unscoped.count() == 2


def test_nodes_add_up_and_a_mark_of_another_boot_is_not_believed(tmp_path, tenant, route):
    for name in ("north", "south"):
        folder = tmp_path / name
        folder.mkdir()
        Journal(folder).count(route, 200, [0.1] * 3)
        writer(folder).write()
    assert asked(tenant) == (6, 0, 0)
    assert ServedSpan.unscoped.filter(seconds=HOUR).values("source").distinct().count() == 2
    (tmp_path / "north" / "written").write_text("another-boot 1e18")
    assert read_mark(tmp_path / "north") == float("-inf")


def test_only_one_process_of_a_node_writes_until_it_is_gone(tmp_path, tenant, route):
    Journal(tmp_path).count(route, 200, [0.1])
    wrote = []

    def of(name):
        return HistoryWriter(tmp_path, lambda source, totals: wrote.append(name), prune=lambda: None)

    first, second = of("first"), of("second")
    first._attempt()
    second._attempt()
    assert wrote == ["first"]
    long_ago = time.time() - 3600
    os.utime(tmp_path / "turn", (long_ago, long_ago))
    second._attempt()
    assert wrote == ["first", "second"]


def test_a_process_that_ends_while_another_writes_waits_for_its_turn(tmp_path, tenant, route):
    Journal(tmp_path).count(route, 200, [0.001] * 7)
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    other = threading.Timer(0.3, os.close, [lock])
    other.start()
    writer(tmp_path).close()
    other.join()
    assert asked(tenant) == (7, 0, 0)


def test_charts_of_one_model_and_version_leave_the_others_out(tenant, other_tenant):
    model, now = uuid4(), int(time.time())
    totals = {
        Span(tenant.pk, model, 1, MINUTE, now - now % 60): [3, 0, 0] + [0] * N_TIMES,
        Span(tenant.pk, model, 2, MINUTE, now - now % 60): [4, 0, 0] + [0] * N_TIMES,
        Span(tenant.pk, uuid4(), 1, MINUTE, now - now % 60): [50, 0, 0] + [0] * N_TIMES,
        Span(other_tenant.pk, model, 1, MINUTE, now - now % 60): [600, 0, 0] + [0] * N_TIMES,
    }
    write_served(uuid4(), totals)

    def of(**named):
        return sum(span.requests for span in served(tenant, spans=3, **named))

    assert of() == 57
    assert of(model=model) == 7
    assert of(model=model, version=2) == 4


def test_one_row_is_read_for_a_span_however_many_models_there_are(tenant, django_assert_num_queries):
    now = int(time.time())
    write_served(
        uuid4(),
        {Span(tenant.pk, UUID(int=at), 1, MINUTE, now - now % 60): [1, 0, 0] + [0] * N_TIMES for at in range(700)},
    )
    with django_assert_num_queries(1):
        assert sum(span.requests for span in served(tenant, spans=60)) == 700


def test_counts_of_a_tenant_that_is_gone_hold_nobody_up(tenant):
    gone, model, now = uuid4(), uuid4(), int(time.time())
    totals = {Span(who, model, 1, HOUR, now - now % HOUR): [1] * WIDTH for who in (gone, tenant.pk)}
    write_served(uuid4(), totals)
    assert asked(tenant) == (1, 1, 1)
    assert ServedSpan.unscoped.count() == 1


def test_minutes_and_hours_are_deleted_after_their_time(tenant):
    now = timezone.now().replace(minute=30, second=0, microsecond=0)

    def at(seconds, age):
        start = int((now - age).timestamp())
        return Span(tenant.pk, uuid4(), 1, seconds, start - start % seconds)

    spans = [at(MINUTE, timedelta(hours=1)), at(MINUTE, timedelta(days=3)), at(HOUR, timedelta(days=3))]
    spans.append(at(HOUR, timedelta(days=100)))
    write_served(uuid4(), {span: [1] * WIDTH for span in spans})
    prune_served(minutes_s=2 * 86_400, hours_s=90 * 86_400, now=now)
    left = set(ServedSpan.unscoped.values_list("seconds", "start"))
    assert left == {(span.seconds, datetime.fromtimestamp(span.start, UTC)) for span in (spans[0], spans[2])}


def test_quantiles_are_within_their_range():
    counts = counted(200, [0.003] * 99 + [100.0])
    by_time = [int(count) for count in counts[3:]]
    half, most = quantile(by_time, 0.5), quantile(by_time, 1.0)
    assert half is not None and 0.002 < half <= 0.004  # noqa: PT018  one statement for the type checker
    assert most is not None and most > BOUNDS[-1]  # noqa: PT018
    assert quantile([0] * N_TIMES, 0.5) is None
