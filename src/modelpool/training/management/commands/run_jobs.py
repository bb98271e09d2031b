"""``manage.py run_jobs``: a job worker in the foreground, as ``modelpool worker`` starts it."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from modelpool.training.worker import run_worker


class Command(BaseCommand):
    """Runs training jobs until SIGTERM or SIGINT."""

    help = "Run training jobs until SIGTERM or Ctrl-C; a running job may end, or goes back to the queue."

    def handle(self, *args: Any, **options: Any) -> None:
        """Block until stopped."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        run_worker(stop)
