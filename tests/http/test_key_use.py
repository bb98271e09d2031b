from __future__ import annotations

import sqlite3
import threading

import pytest
from django.db import connection

from modelpool.http.key_use import key_was_used

pytestmark = pytest.mark.django_db(transaction=True)


def _busy_timeout_ms() -> int:
    with connection.cursor() as cursor:
        return int(cursor.execute("PRAGMA busy_timeout").fetchone()[0])


def test_noting_a_keys_use_does_not_wait_for_another_writer():
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer for all")
    usual_ms = _busy_timeout_ms()
    file = connection.settings_dict["NAME"]
    locked, may_end, gave_up = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        writer = sqlite3.connect(file, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        locked.set()
        if not may_end.wait(5):
            gave_up.set()
        writer.execute("ROLLBACK")
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert locked.wait(5)
        key_was_used("0" * 64)
    finally:
        may_end.set()
        thread.join()
    assert not gave_up.is_set(), "it waited for the writer"
    assert _busy_timeout_ms() == usual_ms > 1000
