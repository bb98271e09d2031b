"""A file's format is told from its content; what can run code is refused under any name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib

import joblib
import numpy as np
import pytest

from modelpool.core.errors import UnloadableModel, UntrustedFormat
from modelpool.core.formats import detect_format

STATE = {"weights": [1, 2, 3]}


def _joblib(compress: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(STATE, buffer, compress=compress)
    return buffer.getvalue()


def _zip(member: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, b"x" * 100)
    return buffer.getvalue()


CODE = {
    **{f"pickle_{number}": pickle.dumps(STATE, protocol=number) for number in range(6)},
    "pickle_of_a_function": pickle.dumps(print, protocol=0),
    "joblib": _joblib(0),
    **{f"joblib_{kind}": _joblib((kind, 3)) for kind in ("zlib", "gzip", "bz2", "xz", "lzma")},
    "zlib": zlib.compress(pickle.dumps(STATE)),
    "gzip": gzip.compress(pickle.dumps(STATE)),
    "bz2": bz2.compress(pickle.dumps(STATE)),
    "xz": lzma.compress(pickle.dumps(STATE)),
    "torch": _zip("archive/data.pkl"),
    "keras": _zip("metadata.json"),
    "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 60,
    "npy": b"\x93NUMPY\x01\0" + b"\0" * 60,
}


@pytest.mark.parametrize("name", ["model.onnx", "model.skops", "model", None])
@pytest.mark.parametrize("kind", CODE)
def test_code_is_refused_under_any_name(kind: str, name: str | None) -> None:
    with pytest.raises(UntrustedFormat, match=r"skops.*ONNX"):
        detect_format(CODE[kind][:64], name)


def test_names_of_code_are_refused_whatever_is_inside() -> None:
    with pytest.raises(UntrustedFormat, match="pickle"):
        detect_format(b"\x08\x0a" + b"x" * 60, "model.pkl")


def test_known_formats_are_found_by_content_whatever_the_name() -> None:
    assert detect_format(b"\x08\x0a\x12\x00" * 10, "upload.bin").name == "onnx"
    assert detect_format(_zip("1.npy")[:64], "model.onnx").name == "sklearn"


@pytest.mark.parametrize("head", [b"", b"a,b\n1,2\n", b"<html>", b"\0" * 64, b"column,city\n", np.arange(8).tobytes()])
def test_anything_else_is_unknown(head: bytes) -> None:
    with pytest.raises(UnloadableModel, match=r"onnx.*sklearn"):
        detect_format(head, "model.txt")
