"""With the safety net's interval at an hour, what arrives was heard of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from django.db import connection, transaction

from modelpool.inference import feed as feed_module
from modelpool.inference import listening
from modelpool.inference.feed import ChangeFeed
from modelpool.tenants.changes import publish_change
from modelpool.tenants.models import Change
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

_HOUR_S = 3600.0
_LISTENING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%'"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a feed told that hardly polls by itself; it may well listen again at once."""
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL announces changes; 'make test-postgres' runs this")
    monkeypatch.setattr(feed_module, "LISTENING_POLL_S", _HOUR_S)
    monkeypatch.setattr(listening, "RETRY_S", 0.0)
    refs: list[str] = []

    def on_changes(changes: Sequence[Change]) -> None:
        refs.extend(change.ref for change in changes)

    feed = ChangeFeed(on_changes=on_changes, on_reset=lambda: None, max_staleness_s=_HOUR_S)
    feed.start()
    wait_until(lambda: len(listeners()) == 1)
    yield refs
    feed.stop()


def listeners() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_LISTENING)
        return [pid for (pid,) in cursor.fetchall()]


def publish(ref: str) -> None:
    with transaction.atomic():
        publish_change(Change.Kind.KEY, ref=ref, tenant_id=None)


def test_each_commit_is_heard_of_without_polling(heard: list[str]) -> None:
    for ref in ("first", "second"):
        publish(ref)
        wait_until(lambda ref=ref: heard[-1:] == [ref])
    assert heard == ["first", "second"]


def test_a_roll_back_announces_nothing(heard: list[str]) -> None:
    with transaction.atomic():
        publish_change(Change.Kind.KEY, ref="undone", tenant_id=None)
        transaction.set_rollback(True)
    publish("done")
    wait_until(lambda: heard == ["done"])


def test_nothing_is_lost_when_the_listening_connection_is_killed(heard: list[str]) -> None:
    for number in range(3):
        (pid,) = listeners()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        publish(f"killed-{number}")
        wait_until(lambda number=number: heard[-1:] == [f"killed-{number}"])
        wait_until(lambda pid=pid: len(listeners()) == 1 and pid not in listeners())
        publish(f"again-{number}")
        wait_until(lambda number=number: heard[-1:] == [f"again-{number}"])
    assert heard == [f"{when}-{number}" for number in range(3) for when in ("killed", "again")]


def test_where_nothing_is_announced_polling_goes_on(heard: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a pooler of transactions: the connection is fine, but the notices go to somebody else."""
    monkeypatch.setattr(feed_module, "LISTENING_POLL_S", 0.2)
    publish("wakes it once more")  # from here on it looks at the new interval
    wait_until(lambda: len(heard) == 1)
    monkeypatch.setattr(feed_module, "_LATE_NOTICE_S", 0.1)
    for ref in ("silent", "silent too"):
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO modelpool_change (at, kind, ref) VALUES (now(), 'key', %s)", [ref])
        wait_until(lambda ref=ref: heard[-1:] == [ref])
    wait_until(lambda: listeners() == [])
