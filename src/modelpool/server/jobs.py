"""One job worker process: ``modelpool worker``, and what the supervisor starts as a child."""

from __future__ import annotations

import argparse
import signal
import threading
from types import FrameType

from modelpool import conf
from modelpool.core.lifetime import die_with_parent
from modelpool.server.processes.startup import ending_where_misconfigured, set_up_serving


def main() -> None:
    """Run as a child of the supervisor; exit code 78 means that the settings are wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    die_with_parent(parser.parse_args().parent)
    with ending_where_misconfigured():
        run()


def run() -> None:
    """Work on jobs until SIGTERM or SIGINT: then take no other job, and end the one at hand or give it back."""
    set_up_serving()
    from modelpool.server.telemetry.tracing import start_tracing
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
