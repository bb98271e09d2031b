"""Versions that were made elsewhere: stored, looked at in a child process, then registered.

The file goes to the store first and is never parsed here. What is refused is removed again; nothing half-done is seen.
"""

from __future__ import annotations

import atexit
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Required, TypedDict, Unpack

import msgspec
from django.db import DatabaseError

from modelpool import conf
from modelpool.core.errors import InvalidField, ModelNotFound, ModelpoolError, UnloadableModel
from modelpool.core.formats import FORMATS, ModelFormat, detect_format
from modelpool.core.formats.registry import HEAD_BYTES
from modelpool.core.runtime.jail.guard import Guard
from modelpool.core.runtime.process.isolation import Inspection, ModelHost
from modelpool.core.signature import ModelSignature
from modelpool.registry.limits import (
    check_description,
    check_figures,
    check_metrics,
    check_params,
    check_signature,
    check_tags,
)
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.pools import delete_model_if_unused, find_model, get_or_create_model, store_of
from modelpool.registry.versions import NewVersion, register_version
from modelpool.storage.models import Artifact
from modelpool.storage.services import copy_to_file, discard_artifact, get_store, store_artifact
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant


class UploadMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client may say about a file; all of it may be left out.

    ``format`` and ``signature`` are checked against the file; left out, the file itself tells them.
    """

    format: str | None = None
    signature: ModelSignature | None = None
    metrics: dict[str, Any] = {}
    params: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    description: str = ""
    activate: Literal["always", "never", "if_better"] | None = None


class Upload(TypedDict, total=False):
    """What :func:`upload_version` takes besides the model and the actor."""

    chunks: Required[Iterable[bytes]]
    filename: str
    metadata: Mapping[str, Any] | UploadMetadata | None
    expected_sha256: str | None
    host: ModelHost | None
    in_transaction: Callable[[ModelVersion], None] | None
    replaces_bytes: int


def read_metadata(metadata: object) -> UploadMetadata:
    """Check the metadata of an upload, a JSON object; raise :class:`InvalidField` that names what is wrong in it."""
    try:
        checked = msgspec.convert({} if metadata is None else metadata, UploadMetadata)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise InvalidField(f"metadata{path.strip('`')}", f"{text}.") from error
    check_tags(checked.tags, field="metadata.tags")
    check_metrics(checked.metrics, field="metadata.metrics")
    check_params(checked.params, field="metadata.params")
    check_figures(checked.figures, field="metadata.figures")
    check_description(checked.description, field="metadata.description")
    if checked.signature is not None:
        check_signature(checked.signature, field="metadata.signature")
    if checked.format is not None and checked.format not in FORMATS:
        raise InvalidField("metadata.format", f"{checked.format[:80]!r} is not one of {', '.join(FORMATS.names())}.")
    return checked


def upload_version(
    model: RegisteredModel,
    *,
    chunks: Iterable[bytes],
    actor: Actor,
    filename: str = "",
    metadata: Mapping[str, Any] | UploadMetadata | None = None,
    expected_sha256: str | None = None,
    host: ModelHost | None = None,
    in_transaction: Callable[[ModelVersion], None] | None = None,
    make_again: Callable[[], RegisteredModel] | None = None,
    replaces_bytes: int = 0,
) -> ModelVersion:
    """Store a model file, prove in a child process that it loads and predicts, and register it as the next version.

    ``host`` is the process's own maker of child processes; ``make_again`` remakes a model deleted meanwhile.
    Raises :class:`UntrustedFormat`, :class:`UnloadableModel`, :class:`InvalidField`, :class:`TooLarge`, and what
    :func:`~modelpool.storage.services.store_artifact` raises. The file is removed after every error.
    """
    checked = metadata if isinstance(metadata, UploadMetadata) else read_metadata(metadata)
    head, rest = _peek(chunks)
    stated = _format_of(head, filename, checked)
    artifact = store_artifact(
        model.tenant,
        chunks=rest,
        store=store_of(model),
        filename=filename,
        media_type=stated.media_type,
        limit_bytes=int(conf.settings().limits.max_upload),
        expected_sha256=expected_sha256,
        replaces_bytes=replaces_bytes,
    )
    try:
        found = _inspect(artifact, checked, stated.name, host or _own_host())
        _check_found(found)
        new = _new_version(artifact, checked, found)
        register = partial(
            register_version, new=new, actor=actor, activate=checked.activate, in_transaction=in_transaction
        )
        try:
            return register(model)
        except ModelNotFound:
            if make_again is None:
                raise
            return register(make_again())
    except BaseException:
        discard_artifact(artifact)
        raise


def upload_into_pool(tenant: Tenant, *, name: str, actor: Actor, **upload: Unpack[Upload]) -> ModelVersion:
    """As :func:`upload_version`, by name: a new model is created, and taken back when the upload is refused.

    Of several that begin a model together one may so take it back while another is looked at.
    """
    model = find_model(tenant, name)
    is_new = model is None
    model = model or get_or_create_model(tenant, name=name, actor=actor)
    try:
        make_again = partial(get_or_create_model, tenant, name=name, actor=actor)
        return upload_version(model, actor=actor, make_again=make_again, **upload)
    except BaseException:
        if is_new:
            with suppress(ModelpoolError, DatabaseError):  # what went wrong first is what is told
                delete_model_if_unused(model, actor=actor)
        raise


def _peek(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, and all of them again."""
    source, begun, head = iter(chunks), [], b""
    for chunk in source:
        begun.append(chunk)
        head += chunk[: HEAD_BYTES - len(head)]
        if len(head) >= HEAD_BYTES:
            break
    return head, _chain(begun, source)


def _chain(begun: list[bytes], source: Iterator[bytes]) -> Iterator[bytes]:
    yield from begun
    yield from source


def _format_of(head: bytes, filename: str, metadata: UploadMetadata) -> ModelFormat:
    """Refuse by the first bytes what could run code or is no model, before anything is stored."""
    if not head:
        raise InvalidField("file", "is empty.")
    found = detect_format(head, filename)
    if metadata.format is None or metadata.format == found.name:
        return found
    stated = FORMATS[metadata.format]
    if not stated.matches(head):
        raise InvalidField("metadata.format", f"is {metadata.format!r}, but the file looks like {found.name!r}.")
    return stated


def _inspect(artifact: Artifact, metadata: UploadMetadata, format_name: str, host: ModelHost) -> Inspection:
    with _as_descriptor(artifact) as descriptor:
        return host.inspect(
            descriptor,
            format=format_name,
            filename=artifact.filename or None,
            signature=metadata.signature,
            timeout_s=float(conf.settings().serving.load_timeout),
        )


def _check_found(found: Inspection) -> None:
    """Refuse names that no table holds and no answer can be written with, as for a signature that is given."""
    try:
        check_signature(found.signature)
    except InvalidField as error:
        raise UnloadableModel(f"What the file takes and gives cannot be served: {error.detail}") from error


@contextmanager
def _as_descriptor(artifact: Artifact) -> Iterator[int]:
    """Open the stored file read-only: where the store keeps files that one, else a private copy without a name."""
    path = get_store(artifact.store).local_path(artifact.key)
    private = None if path else conf.home().prepare().tmp_dir / f"upload-{artifact.pk.hex}-{secrets.token_hex(8)}"
    try:
        if private is not None:
            copy_to_file(artifact, private)
        descriptor = os.open(path or private or Path(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    finally:
        if private is not None:
            private.unlink(missing_ok=True)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _new_version(artifact: Artifact, metadata: UploadMetadata, found: Inspection) -> NewVersion:
    return NewVersion(
        format=found.format,
        serving_format=found.format,
        trust=ModelVersion.Trust.UPLOADED_DATA,
        artifact=artifact,
        signature=found.signature,
        metrics=metadata.metrics,
        params=metadata.params,
        figures=metadata.figures,
        tags=metadata.tags,
        description=metadata.description,
    )


@lru_cache(maxsize=1)
def _own_host() -> ModelHost:
    """The host of processes that have no other, such as the command line."""
    serving = conf.settings().serving
    host = ModelHost(
        int(serving.model_memory_limit),
        load_timeout_s=float(serving.load_timeout),
        guard=Guard(allows_weak=serving.allow_weak_isolation),
    )
    atexit.register(host.close)
    return host
