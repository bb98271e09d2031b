from __future__ import annotations

import hashlib
import io

import pytest

from modelpool.core.artifacts import CHUNK_BYTES
from modelpool.core.errors import Malformed
from modelpool.http.body_stream import BodyFile
from modelpool.http.uploads import Upload, clean_filename


def test_a_body_that_ends_early_is_malformed():
    with pytest.raises(Malformed, match="7 bytes before"):
        list(BodyFile(io.BytesIO(b"abc").read, size_bytes=10).chunks())


def test_a_body_is_read_in_pieces_and_no_further_than_declared():
    data = b"x" * (2 * CHUNK_BYTES + 5)
    pieces = list(BodyFile(io.BytesIO(data + b"next request").read, size_bytes=len(data)).chunks())
    assert [len(piece) for piece in pieces] == [CHUNK_BYTES, CHUNK_BYTES, 5]


def test_a_raw_body_can_be_read_after_its_digest():
    file = BodyFile(io.BytesIO(b"hello").read, size_bytes=5)
    assert file.digest() == hashlib.sha256(b"hello").hexdigest()
    assert b"".join(file.chunks()) == b"hello"
    file.close()


def test_the_digest_of_an_upload_tells_parts_apart():
    def digest(filename: str, fields: dict[str, str]) -> str:
        upload = Upload(BodyFile(io.BytesIO(b"x").read, size_bytes=1), "text/csv", filename, fields)
        try:
            return upload.digest()
        finally:
            upload.file.close()

    assert digest("a", {"b": "c", "d": "e"}) == digest("a", {"d": "e", "b": "c"})
    assert len({digest("a", {"b": "c"}), digest("ab", {"": "c"}), digest("a", {"bc": ""}), digest("a", {})}) == 4


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.csv", "a.csv"),
        ("a\r\nSet-Cookie: x.csv", "aSet-Cookie: x.csv"),
        ("", ""),
    ],
)
def test_file_names_are_labels(sent: str, kept: str):
    assert clean_filename(sent) == kept
    assert len(clean_filename("x" * 999)) == 200
