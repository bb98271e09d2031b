"""OpenStack Swift with its S3 interface, from its package on PyPI: a second S3 server, unlike the first.

Its ``If-None-Match`` lets several writers at once win. Programs are those beside this Python, or in the folder that
``MODELPOOL_TEST_SWIFT_BIN`` names.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from botocore.session import Session

from tests.servers.processes import die_with_parent
from tests.servers.seaweedfs import is_free

BUCKET = "models"
KEY, SECRET = "modelpool:key", "modelpoolsecret"
_START_DEADLINE_S = 40.0
_STOP_DEADLINE_S = 15.0
_LAYERS = ("account", "container", "object")

_COMMON = "[swift-hash]\nswift_hash_path_prefix = tests\nswift_hash_path_suffix = tests\n"
_POLICY = "[storage-policy:0]\nname = one\ndefault = yes\n"
_LAYER = """[DEFAULT]
devices = {folder}/node
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
disable_fallocate = true
log_address = {folder}/no-syslog
[pipeline:main]
pipeline = {layer}-server
[app:{layer}-server]
use = egg:swift#{layer}
"""
_PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
log_address = {folder}/no-syslog
[pipeline:main]
pipeline = {filters} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_modelpool_key = {secret} .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""


_FILTERS = "catch_errors gatekeeper cache listing_formats bulk s3api tempauth slo dlo versioned_writes symlink copy"
_PLAIN_FILTERS = ("catch_errors", "gatekeeper", "listing_formats", "bulk", "slo", "dlo", "symlink", "copy")


class SwiftUnavailable(Exception):
    """There is no Swift here; the message says what to install."""


@dataclass
class Swift:
    """Four processes on free ports, in the foreground."""

    folder: Path
    programs: Path
    ports: dict[str, int]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """Where it speaks S3."""
        return f"http://127.0.0.1:{self.ports['proxy']}"

    def prepare(self) -> None:
        """Write what the processes read: one device, three rings, the configuration."""
        (self.folder / "node" / "d1").mkdir(parents=True)
        (self.folder / "swift.conf").write_text(_COMMON + _POLICY)
        plain = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in _PLAIN_FILTERS)
        facts = {
            "filters": _FILTERS,
            "folder": self.folder,
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "secret": SECRET,
        }
        for layer in _LAYERS:
            self._build_ring(layer)
        for name, port in self.ports.items():
            text = (_PROXY + plain if name == "proxy" else _LAYER).format(**facts, port=port, layer=name)
            (self.folder / f"{name}.conf").write_text(text)

    def start(self) -> None:
        """Start all, make the bucket, and wait until it is there."""
        for name in self.ports:
            self.processes.append(self._spawn([f"swift-{name}-server", str(self.folder / f"{name}.conf")]))
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline and all(process.poll() is None for process in self.processes):
            if self._has_bucket():
                return
            time.sleep(0.1)
        raise AssertionError(f"Swift is not ready:\n{(self.folder / 'log').read_text(errors='replace')[-3000:]}")

    def stop(self) -> None:
        """End all."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(_STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def _build_ring(self, layer: str) -> None:
        builder = str(self.folder / f"{layer}.builder")
        device = f"r1z1-127.0.0.1:{self.ports[layer]}/d1"
        for arguments in (["create", "4", "1", "0"], ["add", device, "1"], ["rebalance"]):
            command = [self.programs / "swift-ring-builder", builder, *arguments]
            done = subprocess.run(command, env=self._environment(), capture_output=True, check=False)
            assert done.returncode in (0, 1), done.stderr  # 1 is a warning

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self.programs / command[0], *command[1:]],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "HOME": str(self.folder), "SWIFT_CONF_FILE": str(self.folder / "swift.conf")}

    def _has_bucket(self) -> bool:
        """Refuses strangers, and has a bucket."""
        try:
            urlopen(f"{self.endpoint}/{BUCKET}", timeout=5).close()
        except HTTPError as answer:
            answer.close()
        except OSError:
            return False
        client = Session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        try:
            return bool(client.create_bucket(Bucket=BUCKET))
        except Exception:  # noqa: BLE001 - it is asked again until the deadline
            return False
        finally:
            client.close()


def find_programs() -> Path:
    """Return the folder of Swift's programs, or raise :class:`SwiftUnavailable`."""
    for folder in (os.environ.get("MODELPOOL_TEST_SWIFT_BIN"), str(Path(sys.executable).parent)):
        if folder and shutil.which("swift-proxy-server", path=folder):
            return Path(folder)
    raise SwiftUnavailable("no swift-proxy-server found; install the test dependencies (swift)")


@contextmanager
def serve_swift(folder: Path) -> Iterator[Swift]:
    """Start a server with an empty bucket, and end it."""
    programs = find_programs()
    server = Swift(folder, programs, _free_ports())
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.stop()


def _free_ports() -> dict[str, int]:
    for _ in range(100):
        start = random.randrange(22_500, 31_000, 10)
        ports = {name: start + number for number, name in enumerate((*_LAYERS, "proxy"))}
        if all(map(is_free, ports.values())):
            return ports
    raise AssertionError("there are no free ports for Swift")
