"""Large objects, in parts: whole and visible at once at the end, gone when the sender fails or dies."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from modelpool.core.artifacts import KEY_PATTERN
from modelpool.core.errors import ModelpoolError, StoreUnavailable
from modelpool.storage.backends.s3.client import Connection, head
from modelpool.storage.failpoints import reach

PART_BYTES = 8 << 20
"""Of each part but the last; S3 takes 10,000 parts of at least 5 MiB, so that an object may have 80 GiB."""


_SENDER = "modelpool-sender"


def cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join and cut to parts of exactly :data:`PART_BYTES`, but the last, which may be empty when it is the only one."""
    buffer, is_first = bytearray(), True
    for chunk in chunks:
        buffer += chunk
        while len(buffer) > PART_BYTES:
            with memoryview(buffer) as view, view[:PART_BYTES] as part:
                whole = bytes(part)
            yield whole
            del buffer[:PART_BYTES]
            is_first = False
    if buffer or is_first:
        yield bytes(buffer)


def checksum(data: bytes) -> str:
    """Return the SHA-256 as S3 writes it: the server compares it with what arrived."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def put_at_once(connection: Connection, name: str, data: bytes) -> str:
    """Send a small object and return its sender; raise ``FileExistsError`` where another one has its name.

    An answer may be lost, and the question asked again: what is refused then may be our own object.
    """
    where, sender = {"Bucket": connection.bucket.name, "Key": name}, secrets.token_hex(16)
    digest = checksum(data)
    try:
        with connection.asked("write an object") as s3:
            s3.put_object(**where, Body=data, ChecksumSHA256=digest, Metadata={_SENDER: sender}, IfNoneMatch="*")
    except (FileExistsError, StoreUnavailable):
        if not _is_from(connection, name, sender):
            raise
    return sender


def sender_of(found: dict[str, Any]) -> str | None:
    """Return what a head says about who sent the object, which nobody else says; ``None`` from a forgetful server."""
    sender: str | None = found.get("Metadata", {}).get(_SENDER)
    return sender


def _is_from(connection: Connection, name: str, sender: str) -> bool:
    with suppress(ModelpoolError):
        found = head(connection, name)
        return found is not None and sender_of(found) == sender
    return False


class MultipartUpload:
    """One object that is sent in parts; leaving the block without :meth:`complete` takes it back."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._where = {"Bucket": connection.bucket.name, "Key": name}
        self._parts: list[dict[str, Any]] = []
        self.sender = secrets.token_hex(16)
        self._is_done = False

    def __enter__(self) -> MultipartUpload:
        with self._connection.asked("begin an object") as s3:
            answer = s3.create_multipart_upload(
                **self._where, ChecksumAlgorithm="SHA256", Metadata={_SENDER: self.sender}
            )
        self._where["UploadId"] = answer["UploadId"]
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_done:
            with suppress(ModelpoolError, FileExistsError), self._connection.asked("end an upload") as s3:
                s3.abort_multipart_upload(**self._where)

    def send(self, data: bytes) -> None:
        """Send one part."""
        number, digest = len(self._parts) + 1, checksum(data)
        with self._connection.asked("write an object") as s3:
            sent = s3.upload_part(**self._where, PartNumber=number, Body=data, ChecksumSHA256=digest)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": digest})
        reach("artifact.chunk")

    def complete(self) -> None:
        """Make the object visible; raise ``FileExistsError`` where another one has its name."""
        parts = {"Parts": self._parts}
        try:
            with self._connection.asked("finish an object") as s3:
                s3.complete_multipart_upload(**self._where, MultipartUpload=parts, IfNoneMatch="*")
        except (FileExistsError, StoreUnavailable):
            if not _is_from(self._connection, self._where["Key"], self.sender):
                raise
        self._is_done = True


def abort_stale(connection: Connection, *, older_than_s: float) -> int:
    """Take back the uploads to our keys whose last part is so old; return how many.

    Ages are by the server's clock; other people's uploads to the same bucket are left alone.
    """
    bucket = connection.bucket
    ours = re.compile(re.escape(bucket.prefix) + KEY_PATTERN.pattern)
    stale = 0
    with connection.asked("list its uploads") as s3:
        pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket.name, Prefix=bucket.prefix)
        for page in pages:
            now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
            for upload in page.get("Uploads", ()):
                where = {"Bucket": bucket.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                if ours.fullmatch(upload["Key"]) and _age(s3, where, upload["Initiated"], now) > older_than_s:
                    s3.abort_multipart_upload(**where)
                    stale += 1
    return stale


def remove_stale(connection: Connection, prefix: str, *, older_than_s: float) -> int:
    """Delete the objects below a prefix that are so old by the server's clock; return how many."""
    bucket, stale = connection.bucket, 0
    with connection.asked("list its objects") as s3:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=prefix):
            now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
            for found in page.get("Contents", ()):
                if (now - found["LastModified"]).total_seconds() > older_than_s:
                    s3.delete_object(Bucket=bucket.name, Key=found["Key"])
                    stale += 1
    return stale


def _age(s3: Any, where: dict[str, str], begun: datetime, now: datetime) -> float:
    parts = (part for page in s3.get_paginator("list_parts").paginate(**where) for part in page.get("Parts", ()))
    newest = max((part["LastModified"] for part in parts), default=begun)
    return (now - max(newest, begun)).total_seconds()
