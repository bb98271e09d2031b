"""One job worker process: ``modelpool worker``, and what the supervisor starts as a child."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from types import FrameType

import django
from django.db import connections

from modelpool import conf
from modelpool.core.errors import ConfigurationError
from modelpool.core.tracing import check_tracing
from modelpool.server.database import open_existing_only
from modelpool.server.logs import configure_logging
from modelpool.server.process import EXIT_CONFIGURATION, die_with_parent


def main() -> None:
    """Run as a child of the supervisor; exit code 78 means that the settings are wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    die_with_parent(parser.parse_args().parent)
    try:
        run()
    except ConfigurationError as error:
        print(f"modelpool: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)


def run() -> None:
    """Work on jobs until SIGTERM or SIGINT: then take no other job, and end the one at hand or give it back."""
    check_tracing(conf.settings().tracing.endpoint)
    configure_logging(conf.settings().server)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelpool.server.settings")
    django.setup()
    open_existing_only(connections.settings["default"])
    from modelpool.server.tracing import start_tracing
    from modelpool.training.worker import run_worker  # its imports need Django's apps

    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    tracer = start_tracing(conf.settings().tracing, process="jobs")
    run_worker(stop)
    if tracer is not None:
        tracer.close()


if __name__ == "__main__":
    main()
