"""Clients that register, activate, predict, download and delete without a pause, and note every answer."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from tests.faults.history import DONE, UNKNOWN, History, Operation
from tests.fixtures.onnx_files import adds

_constants = itertools.count(1)
_WEIGHTS = {"register": 4, "activate": 3, "predict": 6, "download": 4, "delete": 2}
_TIMEOUT_S = 20.0
_PADDING = (0, 3_000, 100_000, 100_000, 2_500_000)


@dataclass(slots=True)
class Tenant:
    """A tenant, its key, and the nodes that it may ask."""

    name: str
    key: str
    urls: Sequence[str]

    def client(self, url: str | None = None) -> httpx.Client:
        """Return a connection to a node."""
        base = f"{url or self.urls[0]}/api/v1/tenants/{self.name}"
        return httpx.Client(base_url=base, headers={"Authorization": f"Bearer {self.key}"}, timeout=_TIMEOUT_S)


@dataclass(slots=True)
class Client:
    """One client of one tenant; what it chooses among is what the tenant's clients were told."""

    tenant: Tenant
    history: History
    api: httpx.Client
    models: Sequence[str]
    chance: random.Random = field(default_factory=random.Random)

    def act(self) -> Operation:
        """Do something."""
        op = self.chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        model = self.chance.choice(self.models)
        versions = known_versions(self.history, self.tenant.name, model)
        if op == "register" or not versions:
            return self.register(model)
        if op == "predict":
            return self.predict(model)
        act = {"activate": self.activate, "download": self.download, "delete": self.delete}[op]
        return act(model, self.chance.choice(versions))

    def register(self, model: str, *, activate: str = "never") -> Operation:
        """Upload a file that nobody has uploaded before."""
        constant = float(next(_constants))
        data = _adds(constant, padding=self.chance.choice(_PADDING))
        sha256 = hashlib.sha256(data).hexdigest()
        with self.history.operation("register", self.tenant.name, model, sha256=sha256, value=constant) as operation:
            metadata = {"activate": activate, "tags": {"constant": str(constant)}}
            answer = self.api.post(
                f"/models/{model}/versions",
                files={"file": ("model.onnx", data)},
                data={"metadata": json.dumps(metadata)},
            )
            operation.settle(answer.status_code, answer.text)
            if operation.result == DONE:
                operation.version = answer.json()["number"]
                assert answer.json()["sha256"] == sha256
        return operation

    def activate(self, model: str, version: int) -> Operation:
        """Let a version answer."""
        with self.history.operation("activate", self.tenant.name, model, version=version) as operation:
            answer = self.api.post(f"/models/{model}/versions/{version}/activate", json={})
            operation.settle(answer.status_code, answer.text)
        return operation

    def predict(self, model: str) -> Operation:
        """Ask the active version, and note which one that was: each adds another number."""
        with self.history.operation("predict", self.tenant.name, model) as operation:
            answer = self.api.post(f"/models/{model}/predict", json={"instances": [[0.0]]})
            operation.settle(answer.status_code, answer.text)
            if operation.result == DONE:
                found = answer.json()["predictions"][0]
                operation.value = found[0] if isinstance(found, list) else found
        return operation

    def download(self, model: str, version: int) -> Operation:
        """Fetch a file; one that breaks off has an unknown result."""
        with self.history.operation("download", self.tenant.name, model, version=version) as operation:
            answer = self.api.get(f"/models/{model}/versions/{version}/download")
            operation.settle(answer.status_code, "" if answer.status_code == 200 else answer.text)
            if operation.result == DONE:
                operation.sha256 = hashlib.sha256(answer.content).hexdigest()
        return operation

    def delete(self, model: str, version: int) -> Operation:
        """Delete a version; the active one is refused."""
        with self.history.operation("delete", self.tenant.name, model, version=version) as operation:
            answer = self.api.delete(f"/models/{model}/versions/{version}")
            operation.settle(answer.status_code, answer.text)
        return operation

    def works(self, model: str) -> bool:
        """Say whether everything can be done with a model."""
        made = self.register(model)
        done = [made, self.predict(model)]
        if made.version is not None:
            done += [self.download(model, made.version), self.activate(model, made.version), self.predict(model)]
        return len(done) == 5 and all(one.result == DONE for one in done)


def _adds(constant: float, *, padding: int) -> bytes:
    """Return a file that adds a constant, with so many bytes of remarks."""
    length, varint = padding, bytearray()
    while length >= 0x80:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    return adds(constant) + (b"\x32" + bytes((*varint, length)) + b"." * padding if padding else b"")


def known_versions(history: History, tenant: str, model: str) -> list[int]:
    """Return the versions that were acknowledged and that nobody has tried to delete."""
    gone = {one.version for one in history.of("delete", tenant, model) if one.result != "refused"}
    made = [one.version for one in history.of("register", tenant, model, result=DONE)]
    return [version for version in made if version is not None and version not in gone]


@dataclass
class Load:
    """Clients of all tenants at work, ``with`` this; ``each`` for each tenant."""

    tenants: Sequence[Tenant]
    history: History
    models: Sequence[str]
    each: int = 2
    seed: int = 0
    errors: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for number, tenant in enumerate([tenant for tenant in self.tenants for _ in range(self.each)]):
            url = tenant.urls[number % len(tenant.urls)]
            self._threads.append(threading.Thread(target=self._work, args=(tenant, url, self.seed + number)))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert self.errors == []

    def _work(self, tenant: Tenant, url: str, seed: int) -> None:
        with tenant.client(url) as api:
            client = Client(tenant, self.history, api, self.models, random.Random(seed))
            while not self._stop.is_set():
                try:
                    done = client.act()
                except Exception as error:  # noqa: BLE001 - told at the end
                    self.errors.append(repr(error))
                    return
                if done.result == UNKNOWN:
                    self._stop.wait(0.05)
