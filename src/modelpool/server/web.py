"""The start of one web process: ``python -m modelpool.server.web --socket FD --gate FD …``, by the supervisor."""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys

import django
from django.db import connections

from modelpool import conf
from modelpool.core.errors import ConfigurationError
from modelpool.core.tracing import check_tracing
from modelpool.server.database import open_existing_only
from modelpool.server.logs import configure_logging
from modelpool.server.process import EXIT_CONFIGURATION, die_with_parent, raise_file_limit


def main() -> None:
    """Set the process up, then serve until told to stop; exit code 78 means that the settings are wrong."""
    parser = argparse.ArgumentParser()
    for name in ("--socket", "--seats", "--ready", "--gate", "--parent"):
        parser.add_argument(name, type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    faulthandler.register(signal.SIGUSR2, all_threads=True)  # the supervisor asks so where a process hangs
    raise_file_limit()
    try:
        check_tracing(conf.settings().tracing.endpoint)
        configure_logging(conf.settings().server)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelpool.server.settings")
        django.setup()
        open_existing_only(connections.settings["default"])
    except ConfigurationError as error:
        print(f"modelpool: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)
    from modelpool.server.serving import serve  # its imports need Django's apps

    serve(socket_fd=arguments.socket, seats_fd=arguments.seats, ready_fd=arguments.ready, gate_fd=arguments.gate)


if __name__ == "__main__":
    main()
