"""The tables of ``modelpool.toml``: every key with its default and its limits."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from modelpool.core.names import NAME_PATTERN
from modelpool.core.quantities import Duration, Size


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


class ProviderSettings(_Table, frozen=True):
    """``[sign_in.providers.NAME]``: whom people of an organisation sign in with, by OpenID Connect."""

    issuer: str
    client_id: str
    client_secret: str
    label: str | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    fetch_userinfo: bool = True
    groups_claim: str = "groups"
    groups: dict[str, tuple[str, ...]] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = urlsplit(self.issuer)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("issuer: write the provider's address, such as https://id.example.com/realms/acme")
        if "openid" not in self.scopes:
            raise ValueError('scopes: "openid" has to be one of them')
        for group, grants in self.groups.items():
            for grant in grants:
                if grant != "operator" and not _GRANT.fullmatch(grant):
                    raise ValueError(
                        f'groups.{group}: {grant!r} is neither "operator" nor a tenant with a role: '
                        '"acme:viewer", "acme:predictor", "acme:scientist" or "acme:admin"'
                    )


_GRANT = re.compile(rf"{NAME_PATTERN}:(viewer|predictor|scientist|admin)")


class SignInSettings(_Table, frozen=True):
    """``[sign_in]``: how people come into the console."""

    session_life: Duration = Duration(8 * 3600)
    require_two_factor: Literal["nobody", "operators", "everyone"] = "nobody"
    passwords: Literal["everyone", "operators"] = "everyone"
    providers: dict[str, ProviderSettings] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.providers:
            if not re.fullmatch(NAME_PATTERN, name):
                raise ValueError(f"providers.{name}: a name has lower-case letters, digits, - and _ only")
        if self.passwords == "operators" and not self.providers:
            raise ValueError("passwords: nobody but operators could sign in; give a provider, or leave it out")


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
    sign_in: SignInSettings = SignInSettings()
    tracing: TracingSettings = TracingSettings()
