"""What goes wrong with uploads in pieces; part of the tree in :mod:`modelpool.core.errors`."""

from __future__ import annotations

from modelpool.core.errors import Conflict, ModelpoolError, NotFound


class UploadNotFound(NotFound):
    """The tenant has no unfinished upload of that id: it never had, it was made a version or dataset, or deleted."""

    code = "upload_not_found"

    def __init__(self, upload: str) -> None:
        super().__init__(f"There is no upload {upload!r}: unknown, used already, or deleted.")


class UploadExpired(ModelpoolError):
    """The upload rested for too long; its bytes are given up."""

    code = "upload_expired"

    def __init__(self, upload: str) -> None:
        super().__init__(f"The upload {upload!r} has expired; begin a new one.")


class ProtocolVersionUnknown(ModelpoolError):
    """The request speaks another version of the upload protocol than this server."""

    code = "tus_version_unknown"


class ChecksumMismatch(ModelpoolError):
    """The bytes of one request of an upload are not those of its checksum; they were thrown away."""

    code = "checksum_mismatch"


class OffsetMismatch(Conflict):
    """The bytes do not continue the upload where it stands: look where it does, then go on from there."""

    code = "offset_mismatch"

    def __init__(self, sent: int, actual: int) -> None:
        super().__init__(f"The upload has {actual} bytes, these begin at {sent}; ask with HEAD, then go on from there.")


class UploadUnfinished(Conflict):
    """Only a whole upload can be made a version or a dataset."""

    code = "upload_unfinished"

    def __init__(self, upload: str, offset: int, length: int) -> None:
        super().__init__(f"The upload {upload!r} has {offset} of {length} bytes; send the rest first.")
