"""What goes wrong between a client and its server, and the exit code of each."""

from __future__ import annotations

from typing import ClassVar

from modelpool.core.errors import ModelpoolError


class Refused(ModelpoolError):
    """The server answered with a problem; its sentence and fields are passed on."""

    code = "refused"
    exit_code: ClassVar[int] = 1


class Unreachable(ModelpoolError):
    """No answer came, or none of a Modelpool server."""

    code = "unreachable"
    exit_code: ClassVar[int] = 3


class NotLoggedIn(ModelpoolError):
    """No server or no key is known."""

    code = "not_logged_in"
    exit_code: ClassVar[int] = 4


class JobFailed(ModelpoolError):
    """The training that was waited for did not succeed."""

    code = "job_failed"
    exit_code: ClassVar[int] = 5
