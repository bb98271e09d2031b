"""Run inside an installation: send a file to a store, read it back, or do the same without Modelpool.

``store_transfer.py STEP ALIAS FILE [ARTIFACT]`` prints a line of JSON: seconds, by how many bytes this process grew
meanwhile, and for ``up`` the artifact. Steps are ``up``, ``down``, ``fetch`` (into the local cache), ``cached`` (from
it), ``bare_up`` and ``bare_down``. A small file goes first, so that libraries are loaded and connections open.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import django

_CHUNK = 1 << 20
_PART = 8 << 20
_BARE = "bare"


def main() -> None:
    """Do one step."""
    step, alias, file, *artifact = sys.argv[1:]
    django.setup()
    steps: dict[str, Callable[..., Any]] = {"up": _up, "down": _down, "fetch": _fetched, "cached": _cached}
    call = steps.get(step) or _bare(step, alias)
    if step in ("up", "bare_up"):
        call(alias, [b"small"])
    settle_peak()
    before = memory("VmRSS")
    began = time.perf_counter()
    found = call(alias, _pieces(Path(file)) if step in ("up", "bare_up") else artifact[0])
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "grew_bytes": max(0, memory("VmHWM") - before), "found": found}))


def _up(alias: str, chunks: Iterable[bytes]) -> str:
    from django.db import transaction

    from modelpool.storage import services as storage
    from modelpool.tenants import services as tenants
    from modelpool.tenants.actors import SYSTEM
    from modelpool.tenants.models import Tenant

    tenant = Tenant.objects.filter(name="bench").first() or tenants.create_tenant("bench", actor=SYSTEM)
    artifact = storage.store_artifact(tenant, chunks=chunks, store=alias)
    with transaction.atomic():
        storage.mark_ready(artifact)
    return str(artifact.pk)


def _down(alias: str, artifact_id: str) -> str:
    from modelpool.storage import services as storage

    with storage.open_artifact(_artifact(artifact_id)) as pieces:
        return _digest(pieces)


def _fetched(alias: str, artifact_id: str) -> str:
    """The same file may be there already, from another store."""
    from modelpool.storage.cache import Wanted
    from modelpool.storage.stores import get_cache

    cache, artifact = get_cache(alias), _artifact(artifact_id)
    assert cache is not None
    cache.forget(Wanted(artifact.tenant_id, artifact.sha256, artifact.size_bytes))
    return _cached(alias, artifact_id)


def _cached(alias: str, artifact_id: str) -> str:
    from modelpool.storage.cache import Wanted, pieces_of
    from modelpool.storage.reading import open_copy
    from modelpool.storage.stores import get_cache

    cache, artifact = get_cache(alias), _artifact(artifact_id)
    assert cache is not None
    wanted = Wanted(artifact.tenant_id, artifact.sha256, artifact.size_bytes)
    with pieces_of(cache.fetch(wanted, lambda: open_copy(artifact))) as pieces:
        return str(sum(len(piece) for piece in pieces))


def _artifact(artifact_id: str) -> Any:
    from modelpool.storage.models import Artifact

    return Artifact.unscoped.get(pk=artifact_id)


def _bare(step: str, alias: str) -> Callable[..., Any]:
    """Return the transfer as one would write it without thinking of faults."""
    from modelpool import conf

    settings = conf.settings().stores[alias]
    if isinstance(settings, conf.S3StoreSettings):
        return _bare_s3(settings, is_up=step == "bare_up")
    assert isinstance(settings, conf.HttpStoreSettings)
    return _bare_http(settings, is_up=step == "bare_up")


def _bare_s3(settings: Any, *, is_up: bool) -> Callable[..., Any]:
    from botocore.config import Config
    from botocore.session import Session

    client = Session().create_client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    where = {"Bucket": settings.bucket, "Key": _BARE}

    def up(_: str, chunks: Iterable[bytes]) -> None:
        upload = {**where, "UploadId": client.create_multipart_upload(**where)["UploadId"]}
        parts = [
            {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=data)["ETag"]}
            for number, data in enumerate(_parts(chunks), start=1)
        ]
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    def down(*_: object) -> str:
        body = client.get_object(**where)["Body"]
        return _digest(iter(lambda: body.read(_CHUNK), b""))

    return up if is_up else down


def _bare_http(settings: Any, *, is_up: bool) -> Callable[..., Any]:
    import httpx

    client = httpx.Client(auth=(settings.username, settings.password), timeout=60)
    url = f"{settings.url}{_BARE}"

    def up(_: str, chunks: Iterable[bytes]) -> None:
        client.put(url, content=iter(chunks)).raise_for_status()

    def down(*_: object) -> str:
        with client.stream("GET", url) as answer:
            return _digest(answer.iter_raw(_CHUNK))

    return up if is_up else down


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        if len(buffer) >= _PART:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def settle_peak() -> None:
    """Let the kernel forget the peak of memory until now."""
    Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> int:
    """Return a figure of this process in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    main()
