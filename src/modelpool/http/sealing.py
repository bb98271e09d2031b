"""Bytes that only this installation, asked with the same token, can read again.

Answers to repeated requests are kept, and one of them may hold a new key's secret, of which the database must hold no
more than the digest. Encrypt-then-MAC with standard primitives: a keystream of SHAKE-256 (FIPS 202) over a key derived
by HMAC-SHA-256 (RFC 2104) from the installation's secret, the client's token and a random nonce, used once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

_NONCE_BYTES = 32
_TAG_BYTES = 32


def seal(data: bytes, *, secret: str, token: str) -> bytes:
    """Return nonce, tag and ciphertext."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    cipher_key, tag_key = _derive(secret, token, nonce)
    ciphertext = _xor(data, cipher_key)
    return nonce + hmac.digest(tag_key, ciphertext, "sha256") + ciphertext


def unseal(sealed: bytes, *, secret: str, token: str) -> bytes | None:
    """Return what was sealed, or ``None`` with another secret or token or when a bit was changed."""
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    tag, ciphertext = rest[:_TAG_BYTES], rest[_TAG_BYTES:]
    cipher_key, tag_key = _derive(secret, token, nonce)
    if not hmac.compare_digest(tag, hmac.digest(tag_key, ciphertext, "sha256")):
        return None
    return _xor(ciphertext, cipher_key)


def _derive(secret: str, token: str, nonce: bytes) -> tuple[bytes, bytes]:
    root = hmac.digest(secret.encode(), b"modelpool.http.sealing\0" + nonce + token.encode(), "sha256")
    return hmac.digest(root, b"cipher", "sha256"), hmac.digest(root, b"tag", "sha256")


def _xor(data: bytes, key: bytes) -> bytes:
    stream = hashlib.shake_256(key).digest(len(data)) if data else b""
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")
