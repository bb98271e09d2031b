"""Files that can run code of their author's choice when they are read: recognised in order to be refused.

The signatures are those of the Python pickle opcodes (``Lib/pickletools.py``), of the compressors that joblib writes
(``joblib/compressor.py``), and of the archives of torch, Keras and HDF5.
"""

from __future__ import annotations

import re

from modelpool.core.errors import UntrustedFormat

_ADVICE = "save scikit-learn models with skops (skops.io.dump(model, 'model.skops')), others as ONNX ('model.onnx')"

_MAGIC = {
    b"\x78\x01": "a zlib-compressed pickle (joblib)",
    b"\x78\x5e": "a zlib-compressed pickle (joblib)",
    b"\x78\x9c": "a zlib-compressed pickle (joblib)",
    b"\x78\xda": "a zlib-compressed pickle (joblib)",
    b"\x1f\x8b": "a gzip file, perhaps a compressed pickle",
    b"BZh": "a bzip2 file, perhaps a compressed pickle",
    b"\xfd7zXZ\x00": "an xz file, perhaps a compressed pickle",
    b"\x5d\x00\x00": "an lzma file, perhaps a compressed pickle",
    b"\x04\x22\x4d\x18": "an lz4 file, perhaps a compressed pickle",
    b"\x28\xb5\x2f\xfd": "a zstandard file, perhaps a compressed pickle",
    b"\x93NUMPY": "a NumPy array file",
    b"\x89HDF": "an HDF5 file (old Keras)",
}
_SUFFIXES = {
    ".pkl": "a pickle", ".pickle": "a pickle", ".joblib": "a joblib pickle", ".dill": "a dill pickle",
    ".cloudpickle": "a pickle", ".pt": "a torch file", ".pth": "a torch file", ".ckpt": "a torch checkpoint",
    ".h5": "an HDF5 file (old Keras)", ".keras": "a Keras file", ".npz": "a NumPy archive", ".npy": "a NumPy array",
    ".tar": "an archive", ".tgz": "an archive", ".gz": "a compressed file", ".jar": "a Java archive",
}  # fmt: skip
_ZIP_MEMBERS = {
    b"data.pkl": "a torch file",
    b".npy": None,
    b"config.json": "a Keras file",
    b"metadata.json": "a Keras file",
}


_OLD_PICKLE = re.compile(rb"c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|\([dlcitp(]\w*[\n.]?|[\]})][qp]|ccopy_reg|\(S'|\(V|\(I\d")


def refuse_code(head: bytes, *, suffix: str = "") -> None:
    """Raise :class:`~modelpool.core.errors.UntrustedFormat` that names what to use instead; otherwise do nothing."""
    kind = _kind_of(head) or _SUFFIXES.get(suffix)
    if kind is not None:
        raise UntrustedFormat(
            f"The file is {kind}, which can run code when it is read, and is not accepted; {_ADVICE}."
        )


def _kind_of(head: bytes) -> str | None:
    if is_pickle(head):
        return "a pickle"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return _kind_of_zip(head) if head.startswith(b"PK\x03\x04") else None


def is_pickle(head: bytes) -> bool:
    """Say whether the bytes begin like a pickle: protocols 2 to 5 by their mark, 0 and 1 by usual first opcodes."""
    if len(head) > 1 and head[0] == 0x80:
        return head[1] <= 16
    return _OLD_PICKLE.match(head) is not None


def _kind_of_zip(head: bytes) -> str | None:
    """Tell a torch or Keras archive by the name of its first member (APPNOTE.TXT 4.3.7: the name is at byte 30)."""
    length = int.from_bytes(head[26:28], "little")
    member = head[30 : 30 + length]
    return next((kind for end, kind in _ZIP_MEMBERS.items() if member.endswith(end)), None)
