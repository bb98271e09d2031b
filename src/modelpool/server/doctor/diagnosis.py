"""The checks of ``modelpool doctor``: each returns findings, none raises, and what fails says what to do."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version

import msgspec

from modelpool import conf
from modelpool.core.errors import ConfigurationError, ModelpoolError
from modelpool.core.runtime.jail.layers import probe_layers
from modelpool.core.runtime.selftest.result import read_result
from modelpool.server.processes.homelock import running_server

_MIN_FREE_BYTES = 1 << 30
_FAIL_FREE_BYTES = 64 << 20
_FLOORS = {
    "django": (5, 2, 8),
    "djangorestframework": (3, 16, 1),
    "skops": (0, 13),
    "onnx": (1, 19),
    "onnxruntime": (1, 23),
    "scikit-learn": (1, 7),
}
_CEILINGS = {"protobuf": (7,)}
_SAFE_PYTHON = (3, 11, 14)


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """One result; ``remedy`` says what to do, and is empty when nothing needs to be done."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


Check = Callable[[conf.Home], Iterator[Finding]]


def run_checks(home: conf.Home) -> list[Finding]:
    """Run all checks in order; those that need the database are left out when there is none to ask."""
    logging.disable(logging.CRITICAL)
    findings = [*check_settings(home)]
    if findings[-1].status == Status.FAIL:
        return findings
    for check in (check_home, check_secret, check_disk, check_libraries, check_kernel):
        findings += check(home)
    if not home.path.is_dir() or any(
        finding.status == Status.FAIL and finding.name == "secret" for finding in findings
    ):
        return findings
    from modelpool.server.doctor.database import check_database  # needs settings that load

    return [*findings, *check_database(home)]


def check_settings(home: conf.Home) -> Iterator[Finding]:
    """The file and the environment are read and make sense."""
    try:
        settings = conf.load_settings(home, os.environ)
    except ConfigurationError as error:
        yield Finding("settings", Status.FAIL, error.detail, f"correct {home.config_file} or the variable")
        return
    origin = str(home.config_file) if home.config_file.exists() else f"no {home.config_file}, so the defaults hold"
    yield Finding("settings", Status.OK, origin)
    if settings.server.host not in ("127.0.0.1", "::1", "localhost") and not settings.server.public_url:
        detail = f"the server listens at {settings.server.host} without TLS and without server.public_url"
        yield Finding(
            "settings", Status.WARN, detail, "put a proxy with TLS in front and set server.public_url = 'https://…'"
        )
    else:
        yield Finding("settings", Status.OK, "addresses are safe")


def check_home(home: conf.Home) -> Iterator[Finding]:
    """The folder is there, ours, and closed to others; a server may be running in it."""
    if not home.path.is_dir():
        yield Finding("home", Status.WARN, f"{home.path} does not exist yet", "start 'modelpool serve', which makes it")
        return
    if not os.access(home.path, os.W_OK | os.X_OK):
        yield Finding(
            "home", Status.FAIL, f"{home.path} cannot be written", f"run as its owner, or: chown -R $USER {home.path}"
        )
    elif home.path.stat().st_mode & 0o007:
        yield Finding("home", Status.WARN, f"{home.path} can be entered by others", f"chmod o-rwx {home.path}")
    else:
        yield Finding("home", Status.OK, str(home.path))
    running = running_server(home)
    where = f"running as process {running.pid} at {running.url}" if running else "not running here"
    yield Finding("server", Status.OK, where)


def check_secret(home: conf.Home) -> Iterator[Finding]:
    """The secret is there, long, and readable by its owner alone."""
    configured = conf.load_settings(home, os.environ).server
    path = home.resolve(configured.secret_key_file)
    if not path.exists():
        yield Finding("secret", Status.WARN, f"{path} does not exist yet", "start 'modelpool serve', which makes it")
        return
    try:
        conf.secret_key(home, configured)
        yield Finding("secret", Status.OK, str(path))
    except ConfigurationError as error:
        yield Finding("secret", Status.FAIL, error.detail, f"chmod 600 {path}; a weak one: delete it and start again")
    except OSError as error:
        yield Finding("secret", Status.FAIL, f"{path}: {error.strerror}", "run as the user who owns the home")


def check_disk(home: conf.Home) -> Iterator[Finding]:
    """There is room where state and temporary files are kept."""
    path = home.path if home.path.exists() else home.path.parent
    free = shutil.disk_usage(path).free if path.exists() else 0
    status = Status.FAIL if free < _FAIL_FREE_BYTES else Status.WARN if free < _MIN_FREE_BYTES else Status.OK
    remedy = "" if status == Status.OK else "make room, or run 'modelpool store sweep'"
    yield Finding("disk", status, f"{free / 2**30:.1f} GiB free at {path}", remedy)


def check_libraries(home: conf.Home) -> Iterator[Finding]:
    """Python and the libraries are not older than what is known to be safe."""
    python = sys.version_info[:3]
    shown = ".".join(map(str, python))
    if python[:2] == (3, 11) and python < _SAFE_PYTHON:
        floor = ".".join(map(str, _SAFE_PYTHON))
        yield Finding(
            "python", Status.WARN, f"{shown}; since {floor} reading archives is safer", f"update to {floor} or later"
        )
    else:
        yield Finding("python", Status.OK, shown)
    wrong = list(_wrong_libraries())
    yield from wrong or [Finding("libraries", Status.OK, f"{len(_FLOORS) + len(_CEILINGS)} checked")]


def check_kernel(home: conf.Home) -> Iterator[Finding]:
    """The kernel offers what confines the processes that open uploaded models, and attempts to get out failed."""
    problem = _isolation_problem(home)
    if not problem:
        landlock = probe_layers().landlock
        result = read_result(home.run_dir)
        tested = f"{result.verdict.n_attempts} attempts to get out were stopped" if result else "not yet tried out"
        yield Finding("isolation", Status.OK, f"Landlock (version {landlock}) and seccomp; {tested}")
    elif conf.load_settings(home, os.environ).serving.allow_weak_isolation:
        detail = f"{problem}, and serving.allow_weak_isolation lets uploads be opened all the same"
        yield Finding("isolation", Status.WARN, detail, "let only people upload whom you trust as the operator")
    else:
        remedy = "use Linux 5.13 or later with Landlock and seccomp; or, where all who upload are trusted, set "
        detail = f"{problem}; uploaded models are neither taken nor served"
        yield Finding("isolation", Status.FAIL, detail, f"{remedy}serving.allow_weak_isolation = true")


def _isolation_problem(home: conf.Home) -> str:
    result = read_result(home.run_dir)
    return probe_layers().problem or ("" if result is None else result.verdict.problem)


def _wrong_libraries() -> Iterator[Finding]:
    for name, floor in _FLOORS.items():
        found = _version_of(name)
        if found is None or found < floor:
            detail = f"{name} {'is missing' if found is None else _dotted(found) + ' is too old'}"
            yield Finding("libraries", Status.FAIL, detail, f"pip install '{name}>={_dotted(floor)}'")
    for name, ceiling in _CEILINGS.items():
        found = _version_of(name)
        if found is not None and found >= ceiling:
            yield Finding(
                "libraries",
                Status.FAIL,
                f"{name} {_dotted(found)} is too new",
                f"pip install '{name}<{_dotted(ceiling)}'",
            )


def _version_of(name: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in version(name).split(".")[:3] if part.isdigit())
    except PackageNotFoundError:
        return None


def _dotted(parts: tuple[int, ...]) -> str:
    return ".".join(map(str, parts))


def explain(error: Exception) -> str:
    """Return a sentence for any error."""
    return error.detail if isinstance(error, ModelpoolError) else f"{type(error).__name__}: {str(error).strip()}"
