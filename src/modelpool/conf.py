"""The one place that reads Modelpool's settings: ``modelpool.toml`` in the home folder, then the environment.

Each key of the file is an environment variable as well: ``server.port`` is ``MODELPOOL_SERVER_PORT``,
``stores.bucket.region`` is ``MODELPOOL_STORES_BUCKET_REGION``. Unknown keys and wrong values are errors that name
them. ``docs/reference/settings.md`` documents every key; a test fails when one is missing there.
"""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import urlsplit

import msgspec

from modelpool.core.errors import ConfigurationError
from modelpool.core.quantities import Duration as Duration  # noqa: PLC0414  also conf.Duration
from modelpool.core.quantities import Size as Size  # noqa: PLC0414  also conf.Size
from modelpool.core.quantities import parse_duration as parse_duration  # noqa: PLC0414  also conf.parse_duration
from modelpool.core.quantities import parse_size as parse_size  # noqa: PLC0414  also conf.parse_size

_SHORTEST_HANG_S = 3


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file; sizes and durations end up as plain numbers."""

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Size | Duration):
                msgspec.structs.force_setattr(self, field.name, int(value) if isinstance(value, Size) else float(value))


class ServerSettings(_Table, frozen=True):
    """``[server]``: where it listens and how it looks from outside."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    workers: Annotated[int, msgspec.Meta(ge=1)] = 2
    secret_key_file: str = "secret_key"  # noqa: S105  a path
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    trusted_proxies: tuple[str, ...] = ()
    public_url: str | None = None
    threads: Annotated[int, msgspec.Meta(ge=1)] = 8
    max_streams: Annotated[int, msgspec.Meta(ge=1)] = 64
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 4096
    keep_alive: Duration = Duration(20)
    head_timeout: Duration = Duration(15)
    body_timeout: Duration = Duration(60)
    drain_delay: Duration = Duration(0)
    drain_timeout: Duration = Duration(30)
    hang_timeout: Duration = Duration(60)
    start_timeout: Duration = Duration(120)
    metrics_names: Literal["operator", "local"] = "operator"
    metrics_max_models: Annotated[int, msgspec.Meta(ge=0)] = 1000
    access_log: bool = False
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class DatabaseSettings(_Table, frozen=True):
    """``[database]``: SQLite by default; a relative path is below the home folder."""

    url: str = "sqlite:///modelpool.sqlite3"
    pool: Annotated[int, msgspec.Meta(ge=0)] = 0


class ServingSettings(_Table, frozen=True):
    """``[serving]``: the prediction path."""

    memory_budget: Size = Size(2 * 2**30)
    tenant_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    keep_previous: Duration = Duration(600)
    preload: tuple[str, ...] | Literal["active", "recent"] = "active"
    preload_deadline: Duration = Duration(30)
    max_body: Size = Size(32 * 2**20)
    max_queue: Annotated[int, msgspec.Meta(ge=1)] = 1024
    predict_timeout: Duration = Duration(30)
    load_timeout: Duration = Duration(60)
    model_memory_limit: Size = Size(4 * 2**30)
    allow_weak_isolation: bool = False
    inline_limit: Duration = Duration(0.001)
    max_queue_per_model: Annotated[int, msgspec.Meta(ge=1)] = 256
    max_queue_per_tenant: Annotated[int, msgspec.Meta(ge=1)] = 512
    max_queue_wait: Duration = Duration(1)
    max_batch_rows: Annotated[int, msgspec.Meta(ge=1)] = 256
    max_batch_bytes: Size = Size(4 * 2**20)
    fault_limit: Annotated[int, msgspec.Meta(ge=1)] = 5
    history: Duration = Duration(90 * 86_400)
    history_minutes: Duration = Duration(2 * 86_400)


class JobsSettings(_Table, frozen=True):
    """``[jobs]``: who trains, and within which limits."""

    engine: Literal["local"] = "local"
    workers: Annotated[int, msgspec.Meta(ge=0)] = 1
    timeout: Duration = Duration(3600)
    memory_limit: Size = Size(8 * 2**30)
    lease: Duration = Duration(15)
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] = 3
    trainers: tuple[str, ...] = ()


class LimitsSettings(_Table, frozen=True):
    """``[limits]``: what one request or one tenant may take, unless the tenant's own quota says otherwise."""

    max_upload: Size = Size(2 * 2**30)
    max_dataset: Size = Size(2 * 2**30)
    max_json: Size = Size(8 * 2**20)
    tenant_storage: Size = Size(50 * 2**30)
    tenant_models: Annotated[int, msgspec.Meta(ge=0)] = 1000
    tenant_queued_jobs: Annotated[int, msgspec.Meta(ge=0)] = 100
    tenant_predictions_per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    tenant_burst: Annotated[int, msgspec.Meta(ge=1)] | None = None
    orphan_grace: Duration = Duration(3600)


class SqlSourceSettings(_Table, frozen=True, tag_field="kind", tag="sql"):
    """``kind = "sql"``: a query that the operator wrote, against PostgreSQL or SQLite, read only."""

    url: str
    query: Annotated[str, msgspec.Meta(min_length=1)]
    parameters: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    timeout: Duration = Duration(300)
    max_rows: Annotated[int, msgspec.Meta(ge=1)] = 10_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.url.startswith(("postgresql://", "postgres://", "sqlite:///")):
            raise ValueError("url: write postgresql://user:password@host/database or sqlite:///path")
        if "tenant" in self.parameters:
            raise ValueError("parameters: :tenant is always the asking tenant; leave it out")


class StoreSourceSettings(_Table, frozen=True, tag_field="kind", tag="store"):
    """``kind = "store"``: files that somebody else puts into a store; ``{tenant}`` in the prefix is the tenant."""

    store: str
    prefix: str = "imports/{tenant}/"
    tenants: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if re.fullmatch(r"([A-Za-z0-9_{}-][A-Za-z0-9_.{}-]*/)+", self.prefix) is None:
            raise ValueError("prefix: write folders such as imports/{tenant}/, with a slash at the end")
        if "{tenant}" not in self.prefix.split("/") and (len(self.tenants) > 1 or "*" in self.tenants):
            raise ValueError("prefix: with more than one tenant a folder of it must be {tenant}, or they share files")


SourceSettings = SqlSourceSettings | StoreSourceSettings


class DatasetsSettings(_Table, frozen=True):
    """``[datasets]``: tables to train on, and where else than from uploads they may come from."""

    keep: Duration = Duration(0)
    max_unpacked: Size = Size(20 * 2**30)
    sources: dict[str, SourceSettings] = msgspec.field(default_factory=dict)


class UploadsSettings(_Table, frozen=True):
    """``[uploads]``: uploads that go on where they broke off."""

    expire_after: Duration = Duration(24 * 3600)
    part_size: Size = Size(16 * 2**20)
    max_unfinished: Annotated[int, msgspec.Meta(ge=0)] = 100

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for parts so small that their rows would outweigh them."""
        super().__post_init__()
        if self.part_size < 2**16:
            raise ValueError("part_size must be at least 64 KiB")


class FilesystemStoreSettings(_Table, frozen=True, tag_field="kind", tag="filesystem"):
    """``kind = "filesystem"``: a folder, local or NFS; a relative path is below the home folder."""

    path: str = "artifacts"


class DatabaseStoreSettings(_Table, frozen=True, tag_field="kind", tag="database"):
    """``kind = "database"``: rows of 1 MiB in the database itself."""


class S3StoreSettings(_Table, frozen=True, tag_field="kind", tag="s3"):
    """``kind = "s3"``: a bucket of any server with the S3 API; without keys the usual chain of AWS is asked."""

    bucket: Annotated[str, msgspec.Meta(min_length=1)]
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    path_style: bool = True
    connect_timeout: Duration = Duration(3)
    timeout: Duration = Duration(10)
    redirect_downloads: bool = False
    redirect_lifetime: Duration = Duration(300)


class HttpStoreSettings(_Table, frozen=True, tag_field="kind", tag="http"):
    """``kind = "http"``: a folder of an HTTP server with WebDAV."""

    url: str
    username: str | None = None
    password: str | None = None
    bearer_token: str | None = None
    ca_file: str | None = None
    connect_timeout: Duration = Duration(3)
    timeout: Duration = Duration(10)

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = urlsplit(self.url)
        is_folder = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
        is_folder = is_folder and parts.port != 0  # reading a port that cannot be raises, naming it
        if not is_folder or "@" in parts.netloc:
            raise ValueError("url: write an address such as https://dav.example.com/models/, without credentials")
        if self.password is not None and self.username is None:
            raise ValueError("username: a password needs one")
        if self.bearer_token is not None:
            if self.username is not None:
                raise ValueError("bearer_token: give either a username and password or a token")
            if re.fullmatch("[!-~]+", self.bearer_token) is None:
                raise ValueError("bearer_token: it has spaces, line ends or other characters that a header cannot have")


class MemoryStoreSettings(_Table, frozen=True, tag_field="kind", tag="memory"):
    """``kind = "memory"``: gone with the process; for tests."""


StoreSettings = (
    FilesystemStoreSettings | DatabaseStoreSettings | S3StoreSettings | HttpStoreSettings | MemoryStoreSettings
)


def _default_stores() -> dict[str, StoreSettings]:
    return {"default": FilesystemStoreSettings(), "rows": DatabaseStoreSettings()}


class CacheSettings(_Table, frozen=True):
    """``[cache]``: files of remote stores on the local disk; 0 bytes keeps none."""

    path: str = "cache"
    size: Size = Size(5 * 2**30)


class TracingSettings(_Table, frozen=True):
    """``[tracing]``: OpenTelemetry; off without an endpoint."""

    endpoint: str | None = None
    sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    service_name: str = "modelpool"


class SigningSettings(_Table, frozen=True):
    """``[signing]``: the keys that manifests of versions are signed and verified with."""

    worker_key_file: str = "keys/worker.key"
    ingest_key_file: str = "keys/ingest.key"
    trusted_keys_folder: str = "keys/trusted"
    trusted_keys: tuple[str, ...] = ()


class Settings(_Table, frozen=True):
    """All of ``modelpool.toml``."""

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    stores: dict[str, StoreSettings] = msgspec.field(default_factory=_default_stores)
    cache: CacheSettings = CacheSettings()
    serving: ServingSettings = ServingSettings()
    jobs: JobsSettings = JobsSettings()
    datasets: DatasetsSettings = DatasetsSettings()
    limits: LimitsSettings = LimitsSettings()
    uploads: UploadsSettings = UploadsSettings()
    signing: SigningSettings = SigningSettings()
    tracing: TracingSettings = TracingSettings()


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
        section, _, key = words.partition("_")
        if not name.startswith("MODELPOOL_") or section not in sections or not key:
            continue
        if section == "stores":
            alias, _, key = key.partition("_")
            tree.setdefault("stores", {}).setdefault(alias, {})[key] = value
        elif section == "datasets" and key.startswith("sources_"):
            alias, _, key = key.removeprefix("sources_").partition("_")
            hint = SqlSourceSettings if key == "parameters" else StoreSourceSettings
            source = tree.setdefault("datasets", {}).setdefault("sources", {}).setdefault(alias, {})
            source[key] = _split_list(hint, key, value)
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
