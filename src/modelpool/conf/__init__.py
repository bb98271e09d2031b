"""The one place that reads Modelpool's settings: ``modelpool.toml`` in the home folder, then the environment.

Each key of the file is an environment variable as well: ``server.port`` is ``MODELPOOL_SERVER_PORT``,
``stores.bucket.region`` is ``MODELPOOL_STORES_BUCKET_REGION``. Unknown keys and wrong values are errors that name
them. ``docs/reference/settings.md`` documents every key; a test fails when one is missing there.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import msgspec

from modelpool.conf.tables import CacheSettings as CacheSettings
from modelpool.conf.tables import DatabaseSettings as DatabaseSettings
from modelpool.conf.tables import DatabaseStoreSettings as DatabaseStoreSettings
from modelpool.conf.tables import DatasetsSettings as DatasetsSettings
from modelpool.conf.tables import FilesystemStoreSettings as FilesystemStoreSettings
from modelpool.conf.tables import HttpStoreSettings as HttpStoreSettings
from modelpool.conf.tables import JobsSettings as JobsSettings
from modelpool.conf.tables import LimitsSettings as LimitsSettings
from modelpool.conf.tables import MemoryStoreSettings as MemoryStoreSettings
from modelpool.conf.tables import ProviderSettings as ProviderSettings
from modelpool.conf.tables import S3StoreSettings as S3StoreSettings
from modelpool.conf.tables import ServerSettings as ServerSettings
from modelpool.conf.tables import ServingSettings as ServingSettings
from modelpool.conf.tables import Settings as Settings
from modelpool.conf.tables import SigningSettings as SigningSettings
from modelpool.conf.tables import SignInSettings as SignInSettings
from modelpool.conf.tables import SourceSettings as SourceSettings
from modelpool.conf.tables import SqlSourceSettings as SqlSourceSettings
from modelpool.conf.tables import StoreSettings as StoreSettings
from modelpool.conf.tables import StoreSourceSettings as StoreSourceSettings
from modelpool.conf.tables import TracingSettings as TracingSettings
from modelpool.conf.tables import UploadsSettings as UploadsSettings
from modelpool.core.errors import ConfigurationError
from modelpool.core.quantities import Duration as Duration
from modelpool.core.quantities import Size as Size
from modelpool.core.quantities import parse_duration as parse_duration
from modelpool.core.quantities import parse_size as parse_size

_SHORTEST_HANG_S = 3


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds an installation's state, and where things are in it."""

    path: Path

    @property
    def config_file(self) -> Path:
        """``modelpool.toml``; it need not exist."""
        return self.path / "modelpool.toml"

    @property
    def run_dir(self) -> Path:
        """Files of the running processes: metrics, sockets, the supervisor's pid; emptied at each start."""
        return self.path / "run"

    @property
    def tmp_dir(self) -> Path:
        """Private temporary files, mode 0700."""
        return self.path / "tmp"

    def prepare(self) -> Home:
        """Create the folder and those in it, readable by their owner alone; what exists is left as it is."""
        for folder in (self.path, self.run_dir, self.tmp_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def resolve(self, path: str) -> Path:
        """Return ``path`` as it is when absolute, below the home folder otherwise."""
        return (self.path / Path(path).expanduser()).absolute()


def home() -> Home:
    """Return the home folder: ``MODELPOOL_HOME``, by default ``~/.modelpool``."""
    return Home(Path(os.environ.get("MODELPOOL_HOME") or "~/.modelpool").expanduser().absolute())


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the effective settings of this process, read once."""
    return load_settings(home(), os.environ)


def load_settings(at: Home, environ: Mapping[str, str]) -> Settings:
    """Read the file and the environment; raise :class:`ConfigurationError` that names the wrong key."""
    return decode_settings(_merge(_read_file(at.config_file), _read_environment(environ)), source=str(at.config_file))


def origins(at: Home, environ: Mapping[str, str]) -> dict[str, str]:
    """Return where each setting that is not at its default comes from: ``server.port`` → a file or a variable."""
    found = {key: str(at.config_file) for key in _leaf_keys(_read_file(at.config_file))}
    tree = _read_environment(environ)
    return found | {key: f"MODELPOOL_{key.replace('.', '_').upper()}" for key in _leaf_keys(tree)}


def _leaf_keys(tree: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in tree.items():
        keys += _leaf_keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys


def decode_settings(data: dict[str, Any], *, source: str) -> Settings:
    """Check a tree of settings; the message of an error begins with its ``source`` and names the key."""
    if "stores" in data:
        default: dict[str, Any] = {"default": {"kind": "filesystem"}, "rows": {"kind": "database"}}
        data = {**data, "stores": _merge(default, data["stores"])}
    try:
        settings = msgspec.convert(data, Settings, strict=False, dec_hook=_decode_unit)
        _check_server(settings.server)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError(f"{source}: {_in_toml_words(str(error))}") from error
    return settings


def _check_server(server: ServerSettings) -> None:
    """Raise ``ValueError`` for what is well-formed but would be unsafe or could not work."""
    if "*" in server.allowed_hosts and not server.trusted_proxies:
        raise ValueError(
            "server.allowed_hosts: '*' lets any web page reach this server under a name of its own; write its names, "
            "or name in server.trusted_proxies the proxy that checks them"
        )
    if 0 < server.hang_timeout < _SHORTEST_HANG_S:
        raise ValueError(
            f"server.hang_timeout: {server.hang_timeout:g} s is too short, signs of life come each second; write 0 for "
            f"never, or at least {_SHORTEST_HANG_S} s"
        )
    for network in server.trusted_proxies:
        try:
            ip_network(network, strict=False)
        except ValueError as error:
            raise ValueError(f"server.trusted_proxies: {error}; write addresses such as 10.0.0.0/8") from error
    public = urlsplit(server.public_url or "http://localhost")
    if public.scheme not in ("http", "https") or not public.hostname:
        raise ValueError(
            f"server.public_url: {server.public_url!r} is not an address such as https://models.example.com"
        )


def secret_key(at: Home, configured: ServerSettings) -> str:
    """Return the installation's secret; the first call writes a random one, mode 0600.

    Raises :class:`ConfigurationError` for one that others may read, or of fewer than 50 characters.
    """
    path = at.resolve(configured.secret_key_file)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_once(path, secrets.token_urlsafe(64))
    key = read_secret(path)
    if len(key) < 50:
        raise ConfigurationError(
            f"{path} holds a weak secret of {len(key)} characters; delete it to have a new one made."
        )
    return key


def read_secret(path: Path) -> str:
    """Return what a file holds that nobody else may read; raise :class:`ConfigurationError` when others may."""
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"{path} may be read by others; run: chmod 600 {path}")
    return path.read_text().strip()


def write_once(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Create the file whole or not at all, also when several processes start at once; one that is there stays."""
    if path.exists():
        return
    private = write_private(path, text, mode=mode)
    try:
        os.link(private, path)
    except FileExistsError:
        pass
    finally:
        private.unlink()


def write_private(path: Path, text: str, *, mode: int = 0o600) -> Path:
    """Write a durable file beside ``path`` under a name of its own, to be linked or moved there."""
    private = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    return private


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the tree that ``MODELPOOL_SECTION_KEY`` variables spell; a name that fits no section is left alone."""
    tree: dict[str, Any] = {}
    sections = {field.name: field for field in msgspec.structs.fields(Settings)}
    for name, value in environ.items():
        words = name.removeprefix("MODELPOOL_").lower().replace("__", "_")
        section = next((found for found in sections if words.startswith(f"{found}_")), "")
        key = words.removeprefix(f"{section}_")
        if not name.startswith("MODELPOOL_") or not section or not key:
            continue
        if section == "stores":
            alias, _, key = key.partition("_")
            tree.setdefault("stores", {}).setdefault(alias, {})[key] = value
        elif section == "datasets" and key.startswith("sources_"):
            alias, _, key = key.removeprefix("sources_").partition("_")
            hint = SqlSourceSettings if key == "parameters" else StoreSourceSettings
            source = tree.setdefault("datasets", {}).setdefault("sources", {}).setdefault(alias, {})
            source[key] = _split_list(hint, key, value)
        elif section == "sign_in" and key.startswith("providers_"):
            alias, _, key = key.removeprefix("providers_").partition("_")
            provider = tree.setdefault("sign_in", {}).setdefault("providers", {}).setdefault(alias, {})
            provider[key] = _split_list(ProviderSettings, key, value)
        else:
            tree.setdefault(section, {})[key] = _split_list(sections[section].type, key, value)
    return tree


def _split_list(table: Any, key: str, value: str) -> Any:
    """Lists are written with commas in the environment; ``active`` and ``recent`` stay words."""
    hint = str(get_type_hints(table).get(key, ""))
    if "tuple" not in hint or (value in ("active", "recent") and "Literal" in hint):
        return value
    return [item.strip() for item in value.split(",") if item.strip()]


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _decode_unit(kind: type, value: Any) -> Any:
    if kind is Size:
        return Size(parse_size(value))
    if kind is Duration:
        return Duration(parse_duration(value))
    raise NotImplementedError(kind)


def _in_toml_words(message: str) -> str:
    """Turn ``… - at `$.server.port` `` into ``… (at server.port)``."""
    text, found, path = message.partition(" - at `$")
    return f"{text} (at {path.strip('`').lstrip('.')})" if found else text
