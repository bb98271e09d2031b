"""What the processes of a server do first. Imports nothing of Django, which the supervisor does without."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modelpool import conf
from modelpool.core.errors import ConfigurationError

EXIT_CONFIGURATION = 78
"""``EX_CONFIG``: starting again will not help."""


@contextmanager
def ending_where_misconfigured() -> Iterator[None]:
    """End this process with a sentence and :data:`EXIT_CONFIGURATION` where its settings are wrong."""
    try:
        yield
    except ConfigurationError as error:
        print(f"modelpool: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)


def set_up_django() -> None:
    """Configure Django for this process."""
    import django  # the supervisor must not, see above

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelpool.server.settings")
    django.setup()


def set_up_serving() -> None:
    """Set up a process that works on a home that is prepared; raise :class:`ConfigurationError` for wrong settings."""
    from django.db import connections

    from modelpool.core.tracing import check_tracing
    from modelpool.server.database import open_existing_only
    from modelpool.server.telemetry.logs import configure_logging

    check_tracing(conf.settings().tracing.endpoint)
    configure_logging(conf.settings().server)
    set_up_django()
    open_existing_only(connections.settings["default"])


def raise_file_limit() -> None:
    """Take as many open files as the system lets this user have: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))
