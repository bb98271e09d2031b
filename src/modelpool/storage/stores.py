"""From an alias in the settings to the artifact store that it names."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from modelpool import conf
from modelpool.core.artifacts import ArtifactStore
from modelpool.core.errors import ConfigurationError, StoreUnavailable
from modelpool.storage.backends.database import DatabaseStore
from modelpool.storage.backends.filesystem import FilesystemStore
from modelpool.storage.backends.memory import MemoryStore
from modelpool.storage.backends.s3.client import Bucket
from modelpool.storage.backends.s3.store import S3Store
from modelpool.storage.backends.webdav.client import Share
from modelpool.storage.backends.webdav.store import WebDAVStore
from modelpool.storage.cache import ArtifactCache
from modelpool.storage.marks import RecordedMark
from modelpool.storage.watched import TROUBLES, WatchedStore


class StoreNotConfigured(StoreUnavailable, ConfigurationError):
    """Files are in a store that this process was not told of: a fault of the settings, or it is to be started again."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"The artifact store stores.{alias} is not configured on this node.", retry_after_s=10)


def get_store(alias: str) -> ArtifactStore:
    """Return the store of that alias, one per process; raise :class:`StoreNotConfigured` when it has no settings."""
    stores = conf.settings().stores
    if alias not in stores:
        error = StoreNotConfigured(alias)
        error.add_note(
            f"configured are {', '.join(sorted(stores))}; a process that was started before is started again"
        )
        TROUBLES.failed(alias, error)
        raise error
    return _build_store(alias, stores[alias], conf.home())


def get_cache(alias: str) -> ArtifactCache | None:
    """Return where files of that store are kept on the local disk, ``None`` where they are not."""
    settings = conf.settings().cache
    if not settings.size or not get_store(alias).is_remote:
        return None
    return _build_cache(conf.home().resolve(settings.path), settings.size)


@lru_cache(maxsize=4)
def _build_cache(root: Path, budget_bytes: int) -> ArtifactCache:
    return ArtifactCache(root, budget_bytes=budget_bytes)


@lru_cache(maxsize=64)
def _build_store(alias: str, settings: conf.StoreSettings, home: conf.Home) -> ArtifactStore:
    return WatchedStore(_bare_store(alias, settings, home), alias=alias)


def _bare_store(alias: str, settings: conf.StoreSettings, home: conf.Home) -> ArtifactStore:
    if isinstance(settings, conf.FilesystemStoreSettings):
        return FilesystemStore(home.resolve(settings.path), record=RecordedMark(alias))
    if isinstance(settings, conf.DatabaseStoreSettings):
        return DatabaseStore()
    if isinstance(settings, conf.S3StoreSettings):
        return S3Store(_bucket(alias, settings), record=RecordedMark(alias))
    if isinstance(settings, conf.HttpStoreSettings):
        return WebDAVStore(_share(alias, settings, home), record=RecordedMark(alias))
    return MemoryStore()


def _share(alias: str, settings: conf.HttpStoreSettings, home: conf.Home) -> Share:
    return Share(
        alias=alias,
        url=settings.url.rstrip("/") + "/",
        username=settings.username,
        password=settings.password,
        bearer_token=settings.bearer_token,
        ca_file=None if settings.ca_file is None else str(home.resolve(settings.ca_file)),
        connect_timeout_s=float(settings.connect_timeout),
        timeout_s=float(settings.timeout),
    )


def _bucket(alias: str, settings: conf.S3StoreSettings) -> Bucket:
    prefix = settings.prefix.strip("/")
    return Bucket(
        alias=alias,
        name=settings.bucket,
        prefix=f"{prefix}/" if prefix else "",
        endpoint=settings.endpoint,
        region=settings.region,
        access_key_id=settings.access_key_id,
        secret_access_key=settings.secret_access_key,
        session_token=settings.session_token,
        path_style=settings.path_style,
        connect_timeout_s=float(settings.connect_timeout),
        timeout_s=float(settings.timeout),
        redirect_lifetime_s=float(settings.redirect_lifetime) if settings.redirect_downloads else None,
    )
