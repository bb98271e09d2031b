"""The store: ``<prefix><tenant id>/<artifact id>`` in a bucket.

A key is made by the server and never used twice, so that what a server does with two writers of one key hardly matters;
where it honours conditions (``If-None-Match``), exactly one of them wins all the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain
from typing import Any
from urllib.parse import quote

from modelpool.core.artifacts import (
    CHUNK_BYTES,
    KEY_PATTERN,
    ArtifactStore,
    ObjectMissing,
    StoredBytes,
    StoredObject,
    check_key,
)
from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.counting import CountedChunks
from modelpool.storage.backends.marker import MarkRecord, Unrecorded
from modelpool.storage.backends.s3.client import Bucket, Connection, code_of, head, is_missing
from modelpool.storage.backends.s3.marked import MarkedBucket
from modelpool.storage.backends.s3.uploads import (
    PART_BYTES,
    MultipartUpload,
    abort_stale,
    cut,
    put_at_once,
    remove_stale,
    sender_of,
)

CHECKS = ".check/"
"""Where the small objects of checks are, for a moment."""

CLAIMS = ".claims/"
"""Where the names of objects are that are being sent in parts."""

_RETRIES = 3
"""How often in a row a download that breaks off within a piece is taken up again."""


class S3Store(ArtifactStore):
    """Keeps objects in a bucket; ``record`` remembers which one belongs there."""

    is_remote = True

    def __init__(self, bucket: Bucket, *, record: MarkRecord | None = None) -> None:
        self._bucket = bucket
        self._connection = Connection(bucket)
        self._marked = MarkedBucket(self._connection, record or Unrecorded())

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Send up to 8 MiB at once, more in parts; the server compares digests of what arrives."""
        name = self._name(key)
        self._marked.prove()
        if self._head(name) is not None:  # not every server honours the condition below
            raise FileExistsError(key)
        counted = CountedChunks(chunks)
        parts = cut(counted)
        first = next(parts)
        if len(first) < PART_BYTES:
            sender = self._put_at_once(name, first)
        else:
            sender = self._put_in_parts(name, chain([first], parts))
        stored = self._head(name)
        if stored is not None and sender_of(stored) not in (sender, None):  # written over, where conditions do not hold
            raise FileExistsError(key)
        if stored is None or stored["ContentLength"] != counted.size_bytes:
            raise StoreUnavailable("The artifact store did not keep the object that it took; nothing was changed.")
        return counted.stored()

    @contextmanager
    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        """Stream a range; a connection that breaks off is taken up where it was, a few times."""
        name = self._name(key)
        if stop is not None and stop <= start:
            self.stat(key)
            yield iter(())
            return
        self._marked.prove()
        reader = _Reader(self._connection, name, start, stop)
        reader.begin(key)
        with closing(reader):
            yield iter(reader)

    @contextmanager
    def open_foreign(self, path: str) -> Iterator[Iterator[bytes]]:
        """Stream the object of that name below the store's prefix."""
        reader = _Reader(self._connection, self._connection.bucket.prefix + path, 0, None)
        reader.begin(path)
        with closing(reader):
            yield iter(reader)

    def stat(self, key: str) -> StoredObject:
        """Ask for its head."""
        name = self._name(key)
        self._marked.prove()
        found = self._head(name)
        if found is None:
            self._marked.prove(is_fresh=True)  # in a bucket that is not ours nothing is known to be missing
            raise _missing(key)
        return StoredObject(key, found["ContentLength"], found["LastModified"])

    def delete(self, key: str) -> None:
        """Delete it; of a versioned bucket older versions stay for as long as its rules say."""
        name = self._name(key)
        self._marked.prove()
        with self._connection.asked("delete an object") as s3:
            s3.delete_object(Bucket=self._bucket.name, Key=name)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Page through the keys; what else is in the bucket is passed over."""
        self._marked.prove(is_fresh=True)
        start = len(self._bucket.prefix)
        with self._connection.asked("list its objects") as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket.name, Prefix=self._bucket.prefix + prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    if KEY_PATTERN.fullmatch(found["Key"][start:]):
                        yield StoredObject(found["Key"][start:], found["Size"], found["LastModified"])
        self._marked.prove(is_fresh=True)  # what is not in the listing is not there

    def check(self) -> None:
        """Write, read and delete a small object."""
        self._marked.prove(is_fresh=True)
        name, data = f"{self._bucket.prefix}{CHECKS}{secrets.token_hex(8)}", secrets.token_bytes(16)
        self._put_at_once(name, data)
        with self._connection.asked("read an object") as s3:
            body = s3.get_object(Bucket=self._bucket.name, Key=name)["Body"]
            found = body.read()
        with self._connection.asked("delete an object") as s3:
            s3.delete_object(Bucket=self._bucket.name, Key=name)
        if found != data:
            raise StoreUnavailable("The artifact store gave back other bytes than it was given.")

    def sweep_partial(self, *, older_than_s: float) -> int:
        """Take back interrupted uploads, with their claims, and what interrupted checks left."""
        self._marked.prove()
        aborted = abort_stale(self._connection, older_than_s=older_than_s)
        for folder in (CLAIMS, CHECKS):
            remove_stale(self._connection, self._bucket.prefix + folder, older_than_s=older_than_s)
        return aborted

    def download_url(self, key: str, *, filename: str) -> str | None:
        """Sign an address, which needs no request."""
        lifetime_s = self._bucket.redirect_lifetime_s
        if lifetime_s is None:
            return None
        where = {"Bucket": self._bucket.name, "Key": self._name(key)}
        shown = {
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
            "ResponseContentType": "application/octet-stream",
            "ResponseCacheControl": "no-store, private",
        }
        with self._connection.asked("sign an address") as s3:
            url: str = s3.generate_presigned_url("get_object", Params=where | shown, ExpiresIn=int(lifetime_s))
        return url

    def _name(self, key: str) -> str:
        return self._bucket.prefix + check_key(key)

    def _head(self, name: str) -> dict[str, Any] | None:
        return head(self._connection, name)

    def _put_at_once(self, name: str, data: bytes) -> str:
        return put_at_once(self._connection, name, data)

    def _put_in_parts(self, name: str, parts: Iterable[bytes]) -> str:
        """Claim the name, for not every server keeps the condition when parts are put together by several at once."""
        with self._claimed(name):
            if self._head(name) is not None:
                raise FileExistsError(name)
            with MultipartUpload(self._connection, name) as upload:
                for part in parts:
                    upload.send(part)
                upload.complete()
        return upload.sender

    @contextmanager
    def _claimed(self, name: str) -> Iterator[None]:
        claim = f"{self._bucket.prefix}{CLAIMS}{name.rpartition('/')[2]}"
        self._put_at_once(claim, b"")
        try:
            yield
        finally:
            with suppress(StoreUnavailable), self._connection.asked("end a claim") as s3:
                s3.delete_object(Bucket=self._bucket.name, Key=claim)


class _Reader:
    """The bytes ``[start, stop)`` of an object, over as many connections as it takes."""

    def __init__(self, connection: Connection, name: str, start: int, stop: int | None) -> None:
        self._connection = connection
        self._where = {"Bucket": connection.bucket.name, "Key": name}
        self._position = start
        self._end = stop
        self._body: Any = None
        self._condition: dict[str, str] = {}

    def begin(self, key: str) -> None:
        """Ask for the object; raise :class:`ObjectMissing` at once where it is not there."""
        from botocore.exceptions import ClientError

        with self._connection.asked("read an object") as s3:
            try:
                answer = s3.get_object(**self._where, **self._condition, **self._range())
            except ClientError as error:
                if is_missing(error):
                    raise _missing(key) from error
                if code_of(error) in ("InvalidRange", "416"):  # it is there, and ends before
                    return
                if code_of(error) in ("PreconditionFailed", "412"):
                    raise StoreUnavailable("The artifact store has another object by now; try again.") from error
                raise
        self._body = answer["Body"]
        self._condition = {"IfMatch": answer["ETag"]}
        self._end = self._position + answer["ContentLength"]

    def __iter__(self) -> Iterator[bytes]:
        breaks, taken_up_at = 0, self._position
        while self._body is not None and self._end is not None and self._position < self._end:
            piece = self._read()
            if piece:
                self._position += len(piece)
                yield piece
                continue
            breaks = 0 if self._position - taken_up_at >= CHUNK_BYTES else breaks
            if breaks < _RETRIES:
                breaks, taken_up_at = breaks + 1, self._position
                self.close()
                self.begin(self._where["Key"])
            else:
                raise StoreUnavailable("The artifact store broke off while it was read; try again.")

    def _read(self) -> bytes:
        """Return some bytes, none where the connection broke off."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        try:
            piece: bytes = self._body.read(min(CHUNK_BYTES, (self._end or 0) - self._position))
        except (HTTPClientError, IncompleteReadError, OSError):
            return b""
        return piece

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _range(self) -> dict[str, str]:
        if self._position == 0 and self._end is None:
            return {}
        return {"Range": f"bytes={self._position}-{'' if self._end is None else self._end - 1}"}


def _missing(key: str) -> ObjectMissing:
    return ObjectMissing(f"The artifact store has no object {key}.")
