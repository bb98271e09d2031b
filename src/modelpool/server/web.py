"""The start of one web process: ``python -m modelpool.server.web --socket FD --gate FD …``, by the supervisor."""

from __future__ import annotations

import argparse
import faulthandler
import signal

from modelpool.core.lifetime import die_with_parent
from modelpool.server.processes.startup import ending_where_misconfigured, raise_file_limit, set_up_serving


def main() -> None:
    """Set the process up, then serve until told to stop; exit code 78 means that the settings are wrong."""
    parser = argparse.ArgumentParser()
    for name in ("--socket", "--seats", "--ready", "--gate", "--parent"):
        parser.add_argument(name, type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    faulthandler.register(signal.SIGUSR2, all_threads=True)  # the supervisor asks so where a process hangs
    raise_file_limit()
    with ending_where_misconfigured():
        set_up_serving()
    from modelpool.server.serving import serve  # its imports need Django's apps

    serve(socket_fd=arguments.socket, seats_fd=arguments.seats, ready_fd=arguments.ready, gate_fd=arguments.gate)


if __name__ == "__main__":
    main()
