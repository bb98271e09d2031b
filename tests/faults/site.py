"""A real Modelpool with a tenant in each kind of store, to be put under load and under faults."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.faults.checker import Final, Seen
from tests.faults.clients import Client, Tenant
from tests.faults.history import DONE, History
from tests.faults.ledger import Ledger
from tests.servers.faults import FaultyProxy
from tests.servers.modelpool import ServedModelpool, inherited_environment, serve_modelpool
from tests.servers.seaweedfs import BUCKET, KEY, SECRET, SeaweedFS
from tests.servers.webdav import PASSWORD, USER, WebDAV
from tests.waiting import wait_until

DISK, ROWS, BUCKETS, SHARE = "disk", "rows", "bucket", "share"
_SETTINGS = """
[server]
drain_delay = "0s"
[cache]
path = "cache"
[stores.disk]
kind = "filesystem"
path = "{disk}"
[stores.rows]
kind = "database"
[stores.bucket]
kind = "s3"
bucket = "{bucket}"
prefix = "{prefix}"
endpoint = "http://127.0.0.1:{s3_port}"
region = "us-east-1"
access_key_id = "{key}"
secret_access_key = "{secret}"
connect_timeout = "1s"
timeout = "1s"
[stores.share]
kind = "http"
url = "http://127.0.0.1:{dav_port}/{prefix}/"
username = "{user}"
password = "{password}"
connect_timeout = "1s"
timeout = "1s"
"""
_ROOT = Path(__file__).parents[2]
_VOLUME_BYTES = 512 << 20
RECOVERY_S = 30.0
"""Within this time after a fault everything works again, by itself."""


@dataclass(frozen=True, slots=True)
class Remote:
    """The servers of the remote stores, which sites may share; each site has its own folder in them."""

    bucket: SeaweedFS
    bucket_proxy: FaultyProxy
    dav: WebDAV
    dav_proxy: FaultyProxy


@dataclass(slots=True)
class Node:
    """One ``modelpool serve`` that can be killed and started again at the same address."""

    home: Path
    traps: Path
    workers: int = 2
    port: int = 0
    served: ServedModelpool | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that starts the others."""
        assert self.served is not None
        return self.served.process.pid

    def start(self) -> None:
        """Start it; the first time at a free port."""
        options = ["--workers", str(self.workers), "--job-workers", "0", "--port", str(self.port)]
        self.served = self._stack.enter_context(serve_modelpool(self.home, *options, failpoint=str(self.traps)))
        self.port = urlsplit(self.served.url).port or 0

    def stop(self) -> None:
        """End it in order."""
        self._stack.close()

    def kill(self) -> None:
        """``kill -9``: its children end with it."""
        assert self.served is not None
        self.served.process.kill()
        self.served.process.wait(20)
        self._stack.close()


@dataclass(slots=True)
class Site:
    """The installation: its nodes, its tenants by store, and where the bytes are."""

    folder: Path
    prefix: str
    remote: Remote
    database: Ledger
    nodes: list[Node]
    tenants: dict[str, Tenant] = field(default_factory=dict)
    _sweeper: subprocess.Popen[str] | None = None

    @property
    def disk(self) -> Path:
        """The root of the file-system store."""
        return self.folder / "volume" / "disk"

    @property
    def has_volume(self) -> bool:
        """Whether the file-system store is a file system of its own, which only root can have."""
        return self.disk.parent.is_mount()

    @property
    def traps(self) -> Path:
        """The failpoints: a file here kills whoever reaches its step."""
        return self.folder / "traps"

    def run(self, *arguments: str, failpoint: str = "", check: bool = True) -> tuple[int, Any]:
        """Run a command on the server, and return its exit code and the JSON that it printed."""
        command = [sys.executable, "-P", "-m", "modelpool", *arguments, "--home", str(self.nodes[0].home), "--json"]
        environment = {**inherited_environment(), **({"MODELPOOL_FAILPOINT": failpoint} if failpoint else {})}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout or "null")

    def begin_models(self, history: History, tenants: Sequence[Tenant], models: Sequence[str]) -> None:
        """Give each tenant its models, each with an active version."""
        for tenant in tenants:
            with tenant.client() as api:
                client = Client(tenant, history, api, models=models)
                for model in models:
                    made = client.register(model, activate="always")
                    assert made.result == DONE, made

    def delete_models(self, tenants: Sequence[Tenant], models: Sequence[str]) -> None:
        """Delete these models with all their versions."""
        for tenant in tenants:
            with tenant.client() as api:
                for model in models:
                    done = api.delete(f"/models/{model}")
                    assert done.status_code == 204, done.text

    def wait_until_well(self, history: History, tenants: Sequence[Tenant], models: Sequence[str]) -> float:
        """Wait until everybody may do everything again on each node; return how long that took."""

        def wait(tenant: Tenant, url: str) -> None:
            with tenant.client(url) as api:
                client = Client(tenant, history, api, models=models)
                for model in models:
                    wait_until(partial(client.works, model), f"{tenant.name}/{model} to work", timeout_s=RECOVERY_S)

        began = time.monotonic()
        pairs = [(tenant, url) for tenant in tenants for url in tenant.urls]
        with ThreadPoolExecutor(len(pairs)) as threads:
            list(threads.map(lambda pair: wait(*pair), pairs))
        return time.monotonic() - began

    def final(self, tenants: Sequence[Tenant], models: Sequence[str]) -> Final:
        """Return the visible versions of these models, each to be downloaded."""
        return {(tenant.name, model): list(_versions(tenant, model)) for tenant in tenants for model in models}

    def release_quarantined(self, tenants: Sequence[Tenant], models: Sequence[str]) -> int:
        """Do what an operator does when a store had given wrong bytes for a while; return for how many versions."""
        count = 0
        for tenant, model in ((tenant, model) for tenant in tenants for model in models):
            with tenant.client() as api:
                for row in _rows(api, model):
                    if row["quarantine"] is not None and row["quarantine"]["cause"] == "integrity":
                        done = api.post(f"/models/{model}/versions/{row['number']}/release", json={})
                        assert done.status_code == 200, done.text
                        count += 1
        return count

    def sweep(self) -> None:
        """As if a day had passed: nothing is too young to be swept."""
        self.database.age()
        report = self._tell_sweeper("sweep")
        assert (report["missing"], report["skipped"]) == ([], {}), report
        report = self._tell_sweeper("verify")
        assert report["damages"] == [], report

    def _tell_sweeper(self, command: str) -> dict[str, Any]:
        if self._sweeper is None or self._sweeper.poll() is not None:
            self._sweeper = _start_sweeper(self.nodes[0].home)
        assert self._sweeper.stdin is not None
        assert self._sweeper.stdout is not None
        self._sweeper.stdin.write(f"{command}\n")
        self._sweeper.stdin.flush()
        report: dict[str, Any] = json.loads(self._sweeper.stdout.readline())
        return report

    def end_sweeper(self) -> None:
        """End the process that sweeps."""
        if self._sweeper is not None:
            self._sweeper.communicate(timeout=20)

    def unaccounted(self) -> list[str]:
        """Compare each store, looked at from outside, with the rows; return what one has and the other has not."""
        return self.database.compare(self.objects())

    def objects(self) -> Mapping[str, dict[str, int]]:
        """Return what is really in each store, in bytes by name: not as the stores' own code lists it."""
        return {
            DISK: _files_in(self.disk),
            SHARE: _files_in(self.remote.dav.data / self.prefix),
            BUCKETS: self._objects_in_bucket(),
            ROWS: self.database.blobs(),
        }

    def leftovers(self) -> list[str]:
        """Return files that uploads left in the homes."""
        found = [path for node in self.nodes for path in (node.home / "tmp").rglob("*") if path.is_file()]
        return sorted(str(path) for path in found)

    def _objects_in_bucket(self) -> dict[str, int]:
        client = _bucket_client(self.remote.bucket.endpoint)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        found = {
            one["Key"].removeprefix(f"{self.prefix}/"): one["Size"]
            for page in pages
            for one in page.get("Contents", ())
        }
        for upload in client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{self.prefix}/").get("Uploads", ()):
            found[f"unfinished upload of {upload['Key']}"] = 0
        client.close()
        return found


@contextmanager
def open_site(folder: Path, remote: Remote, *, database_url: str = "", nodes: int = 1) -> Iterator[Site]:
    """Start an installation on SQLite, or on the PostgreSQL database given; end it."""
    prefix = uuid.uuid4().hex[:12]
    made = httpx.request("MKCOL", f"{remote.dav.url}{prefix}/", auth=(USER, PASSWORD))
    assert made.status_code == 201, made.text
    homes = [folder / f"node-{number}" for number in range(nodes)]
    database = Ledger(database_url or f"sqlite:///{homes[0]}/modelpool.sqlite3")
    site = Site(folder, prefix, remote, database, [Node(home, folder / "traps") for home in homes])
    for path in (folder, site.traps, site.disk.parent, *homes):
        path.mkdir(mode=0o700)
    text = _SETTINGS.format(
        disk=site.disk, bucket=BUCKET, prefix=prefix, key=KEY, secret=SECRET, user=USER, password=PASSWORD,
        s3_port=remote.bucket_proxy.port, dav_port=remote.dav_proxy.port,
    ) + (f'[database]\nurl = "{database_url}"\n' if database_url else "")  # fmt: skip
    is_mounted = os.geteuid() == 0 and _mount(site.disk.parent)
    try:
        for node in site.nodes:
            (node.home / "modelpool.toml").write_text(text)
            node.start()
            for other in site.nodes[1:]:
                _share_secrets(site.nodes[0].home, other.home)
        site.tenants = _make_tenants(site)
        yield site
    finally:
        site.end_sweeper()
        for node in site.nodes:
            node.stop()
        if is_mounted:
            subprocess.run(["umount", str(site.disk.parent)], check=True)


def _mount(folder: Path) -> bool:
    """Give the folder a small file system in memory; a container may forbid even root to do so."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_VOLUME_BYTES}", "modelpool-tests", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _start_sweeper(home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.sweeper", str(home)]
    return subprocess.Popen(
        command, env=inherited_environment(), cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _share_secrets(source: Path, target: Path) -> None:
    """All nodes have the first one's secret, and its keys that sign."""
    for name in ("secret_key", "keys"):
        if (source / name).is_dir() and not (target / name).exists():
            shutil.copytree(source / name, target / name)
        elif (source / name).is_file() and not (target / name).exists():
            shutil.copy2(source / name, target / name)


def _make_tenants(site: Site) -> dict[str, Tenant]:
    operator = site.run("key", "create", "--operator", "--name", "faults")[1]["key"]
    urls = [node.url for node in site.nodes]
    found = {}
    headers = {"Authorization": f"Bearer {operator}"}
    with httpx.Client(base_url=f"{urls[0]}/api/v1", headers=headers, timeout=60) as api:
        for store in (DISK, ROWS, BUCKETS, SHARE):
            name = f"in-{store}"
            made = api.post("/tenants", json={"name": name, "store": store})
            assert made.status_code == 201, made.text
            key = api.post(f"/tenants/{name}/keys", json={"name": "clients", "role": "admin"})
            assert key.status_code == 201, key.text
            found[store] = Tenant(name, key.json()["key"], urls)
    return found


def _versions(tenant: Tenant, model: str) -> Iterator[Seen]:
    with tenant.client() as api:
        for row in _rows(api, model):
            assert row["state"] == "ready", row
            yield Seen(row["number"], row["sha256"], row["active"], partial(_fetched, tenant, model, row))


def _rows(api: httpx.Client, model: str) -> list[dict[str, Any]]:
    page = api.get(f"/models/{model}/versions", params={"page_size": 500})
    assert page.status_code == 200, page.text
    assert page.json()["next"] is None, "more versions than are looked at"
    rows: list[dict[str, Any]] = page.json()["results"]
    return rows


def _fetched(tenant: Tenant, model: str, row: Mapping[str, Any]) -> str:
    history = History(Path(os.devnull))
    with tenant.client() as api:
        done = Client(tenant, history, api, models=[model]).download(model, row["number"])
    if row["quarantine"] is not None:
        return f"in quarantine: {row['quarantine']}"
    return done.sha256 or f"{done.status} {done.detail}"


def _files_in(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}


def _bucket_client(endpoint: str) -> Any:
    from botocore.session import Session

    return Session().create_client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
