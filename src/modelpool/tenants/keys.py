"""The secrets that programs send: how they look, and what is kept of them.

``mp_`` + 43 letters and digits (256 random bits) + 6 of a checksum. The prefix lets scanners recognise a leaked key,
the checksum lets them tell a real one from a look-alike; the digest is all that is stored.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = "mp_"
_RANDOM_CHARS = 43
_CHECKSUM_CHARS = 6
PREFIX_CHARS = 11
SECRET_CHARS = len(_PREFIX) + _RANDOM_CHARS + _CHECKSUM_CHARS


def make_secret() -> str:
    """Return a new random secret."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return _PREFIX + body + _checksum(body)


def looks_like_secret(text: str) -> bool:
    """Say whether ``text`` has the form and checksum of a secret; says nothing of whether it is valid."""
    if len(text) != SECRET_CHARS or not text.startswith(_PREFIX) or not text.isascii():
        return False
    body = text[len(_PREFIX) : -_CHECKSUM_CHARS]
    return text[-_CHECKSUM_CHARS:] == _checksum(body)


def digest_of(secret: str) -> str:
    """Return the SHA-256 of the secret, hexadecimal; 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
