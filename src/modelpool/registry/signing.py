"""The keys of this node: who may sign what is registered here, and whose signatures are believed.

Private keys are made by the first process that signs. A web process signs uploads with the ingest key, and never calls
:func:`worker_key`. Public keys are files in a folder that is read again whenever it changes, and settings.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from modelpool import conf
from modelpool.core.errors import ConfigurationError
from modelpool.core.manifests import Scope, SigningKey, VerifyingKey

_SEED_BYTES = 32


def worker_key() -> SigningKey:
    """Return the key of the training workers: for them, and for what an operator runs by hand.

    Raises :class:`ConfigurationError` on a node that is told to have none, and for a file that others may read.
    """
    return _signing_key("worker")


def ingest_key() -> SigningKey:
    """Return the key of the processes that accept uploads; raise :class:`ConfigurationError` as above."""
    return _signing_key("ingest")


def prepare_keys() -> None:
    """Make the keys of a new home, and see to it that their public halves are trusted; changes nothing afterwards."""
    ingest_key()
    if conf.settings().signing.worker_key_file:
        worker_key()


def trusted_keys() -> Mapping[str, VerifyingKey]:
    """Return the public keys that are trusted now, by their ids: those of the folder and those of the settings."""
    configured = conf.settings().signing
    folder = conf.home().resolve(configured.trusted_keys_folder)
    return _trusted_keys(folder, tuple(sorted(path.name for path in folder.glob("*.pub"))), configured.trusted_keys)


def active_key_ids() -> frozenset[str]:
    """Return the ids of the keys that this node signs with."""
    has_worker = bool(conf.settings().signing.worker_key_file)
    return frozenset({ingest_key().id, *([worker_key().id] if has_worker else [])})


def rotate_key(scope: Scope) -> SigningKey:
    """Sign with a new key from now on; the old one stays trusted, for what it has signed.

    The new public key is trusted before anything can be signed with it, so a kill at any line harms nothing.
    """
    old = _signing_key(scope)
    seed = secrets.token_bytes(_SEED_BYTES)
    new = SigningKey(scope, seed)
    _trust(old.verifying)
    _trust(new.verifying)
    path = _private_path(scope)
    conf.write_private(path, seed.hex()).replace(path)
    _sync(path.parent)
    return new


def distrust_key(key_id: str) -> bool:
    """Remove a public key from the folder; say whether it was there. Whoever verifies sees it at once."""
    path = conf.home().resolve(conf.settings().signing.trusted_keys_folder) / f"{key_id}.pub"
    if key_id not in trusted_keys() or not path.exists():
        return False
    path.unlink()
    _sync(path.parent)
    return True


# --- private keys -----------------------------------------------------------------------------------------------------


def _signing_key(scope: Scope) -> SigningKey:
    path = _private_path(scope)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    conf.write_once(path, secrets.token_bytes(_SEED_BYTES).hex())
    found = path.stat()
    key = _read_signing_key(scope, path, (found.st_ino, found.st_mtime_ns))
    if key.id not in trusted_keys():
        _trust(key.verifying)
    return key


def _private_path(scope: Scope) -> Path:
    configured = conf.settings().signing
    name = configured.worker_key_file if scope == "worker" else configured.ingest_key_file
    if not name:
        raise ConfigurationError(f"signing.{scope}_key_file is empty: this node has no key to sign with.")
    return conf.home().resolve(name)


@lru_cache(maxsize=8)
def _read_signing_key(scope: Scope, path: Path, changed: tuple[int, int]) -> SigningKey:
    text = conf.read_secret(path)
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise ConfigurationError(f"{path} does not hold a key of {2 * _SEED_BYTES} hexadecimal digits.")
    return SigningKey(scope, seed)


# --- public keys ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _trusted_keys(folder: Path, names: tuple[str, ...], configured: tuple[str, ...]) -> Mapping[str, VerifyingKey]:
    keys = [_parse(text, "signing.trusted_keys") for text in configured]
    for name in names:
        with suppress(FileNotFoundError):  # distrusted in this moment
            keys.append(_parse((folder / name).read_text(), str(folder / name)))
    return {key.id: key for key in keys}


def _parse(text: str, where: str) -> VerifyingKey:
    try:
        return VerifyingKey.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _trust(key: VerifyingKey) -> None:
    folder = conf.home().resolve(conf.settings().signing.trusted_keys_folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    conf.write_once(folder / f"{key.id}.pub", f"{key}\n", mode=0o644)
    _sync(folder)


def _sync(folder: Path) -> None:
    """Make what was added to a folder outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
