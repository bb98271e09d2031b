"""The marker in a bucket, which proves that it is the one that belongs to this installation."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress

from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.marker import MARKER, MarkRecord, mark_of, marker_of
from modelpool.storage.backends.s3.client import Connection, is_missing
from modelpool.storage.backends.s3.uploads import checksum

_PROVEN_FOR_S = 30.0


class MarkedBucket:
    """Looks at the marker before the bucket is used, and again after half a minute."""

    def __init__(self, connection: Connection, record: MarkRecord) -> None:
        self._connection = connection
        self._record = record
        self._bucket = connection.bucket
        self._name = connection.bucket.prefix + MARKER
        self._until = float("-inf")

    def prove(self, *, is_fresh: bool = False) -> None:
        """Raise :class:`StoreUnavailable` when the marker is missing or is another one."""
        if not is_fresh and time.monotonic() < self._until:
            return
        mark = self._read() or self._start()
        self._record.accept(mark)
        self._until = time.monotonic() + _PROVEN_FOR_S

    def _read(self) -> str | None:
        from botocore.exceptions import ClientError

        with self._connection.asked("read its marker") as s3:
            try:
                body = s3.get_object(Bucket=self._bucket.name, Key=self._name)["Body"]
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
            content = body.read(200)
            body.close()
        return mark_of(content)

    def _start(self) -> str:
        """Mark a bucket that holds nothing of ours; of several processes at once, the first one's mark holds."""
        if self._holds_anything() or not self._record.may_start_empty():
            found = self._read()
            if found is None:
                raise StoreUnavailable(
                    f"The bucket has no marker {MARKER} at the store's prefix; is it the right one? Correct "
                    f"stores.{self._bucket.alias}.bucket and .prefix. Nothing is read or written until then."
                )
            return found
        data = marker_of(secrets.token_hex(16))
        with suppress(FileExistsError), self._connection.asked("write its marker") as s3:
            s3.put_object(
                Bucket=self._bucket.name, Key=self._name, Body=data, ChecksumSHA256=checksum(data), IfNoneMatch="*"
            )
        return self._read() or mark_of(data)

    def _holds_anything(self) -> bool:
        with self._connection.asked("list its objects") as s3:
            found = s3.list_objects_v2(Bucket=self._bucket.name, Prefix=self._bucket.prefix, MaxKeys=2)
        return any(not entry["Key"].startswith(f"{self._bucket.prefix}.") for entry in found.get("Contents", ()))
