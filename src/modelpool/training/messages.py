"""What a worker and its child processes tell each other: small JSON, never pickle.

A child's folder holds ``request.json`` when it starts; while it works it writes :data:`Event` lines to a pipe; what it
made stays in the folder, described by ``result.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

T = TypeVar("T")
TableFormat = Literal["csv", "parquet", "jsonl", "json", "arrow"]

REQUEST_FILE = "request.json"
RESULT_FILE = "result.json"
MAX_EVENT_BYTES = 1 << 18
MAX_RESULT_BYTES = 32 << 20


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What the fork server is asked to run, in a new process whose working folder is ``folder``."""

    entry: Literal["train", "profile", "trainers", "query"]
    folder: str
    memory_limit_bytes: int
    nice: int = 0


class TrainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A job as its child process needs to know it; no credential of any kind is in it."""

    tenant: str
    model: str
    trainer: str
    source: str
    trainers_dir: str
    params: dict[str, Any]
    target: str | None
    data: str
    format: TableFormat
    max_unpacked_bytes: int
    seed: int = 0


class ProfileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset to be described; with ``table``, also to be written as Parquet to a file of that name."""

    data: str
    format: TableFormat
    max_unpacked_bytes: int
    table: str = ""


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A query of the operator's; the only request with a credential, so its file is removed as soon as it is read."""

    source: str
    url: str
    query: str
    values: dict[str, Any]
    timeout_s: float
    max_rows: int
    max_bytes: int
    table: str


class QueryResult(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended; ``problem`` is for whoever asked, ``log`` for the operator."""

    n_rows: int = 0
    problem: str = ""
    log: str = ""


class TrainersRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A source of trainers to be listed."""

    source: str
    trainers_dir: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far it is, 0 to 1; ``stage`` stays as it is when ``None``."""

    fraction: float
    stage: str | None = None


class LogLine(msgspec.Struct, frozen=True, tag="log"):
    """One or more lines for the job's log."""

    text: str


class Metric(msgspec.Struct, frozen=True, tag="metric"):
    """A metric's value, finite."""

    name: str
    value: float
    step: int | None = None


class Saved(msgspec.Struct, frozen=True, tag="saved"):
    """The model is in the folder, whole; what follows only makes it faster to serve."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It ended badly: a code for programs, a sentence for people."""

    code: str
    detail: str


Event = Progress | LogLine | Metric | Saved | Failed


class TrainResult(msgspec.Struct, kw_only=True):
    """What training made; files are names in the child's folder.

    ``compiled`` is the file of the compiled model, and ``parity`` its comparison with the estimator; both are ``None``
    until compiling has ended, and ``parity`` stays so where there is nothing to compile.
    """

    format: str
    file: str
    is_compilable: bool
    signature: dict[str, Any]
    metrics: dict[str, float]
    primary_metric: str
    primary_mode: Literal["max", "min"]
    params: dict[str, Any]
    figures: dict[str, Any]
    libraries: dict[str, str]
    compiled: str | None = None
    parity: dict[str, Any] | None = None


class ProfileResult(msgspec.Struct, frozen=True, kw_only=True):
    """A described dataset; ``warning`` says why it could not be read, or which columns cannot be used.

    ``format`` is the one found by its content; ``has_table`` says that the Parquet file was written.
    """

    n_rows: int | None = None
    columns: list[dict[str, Any]] = []
    preview: dict[str, Any] | None = None
    warning: str = ""
    format: TableFormat | None = None
    has_table: bool = False


class TrainerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A trainer on offer; ``source`` is where its code is."""

    name: str
    description: str
    params_schema: dict[str, Any]
    source: str


class TrainersResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one source offers; ``problem`` says why it could not be loaded."""

    trainers: list[TrainerEntry] = []
    problem: str = ""


class UnreadableResult(Exception):
    """A child left no result, or not one that can be read."""


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` so that a reader sees all of it or nothing; arrays become lists, NaN and infinity ``null``."""
    private = path.with_name(path.name + ".part")
    private.write_bytes(msgspec.json.encode(value, enc_hook=_to_builtin))
    private.replace(path)


def read_json(path: Path, kind: type[T]) -> T:
    """Read what :func:`write_json` wrote; raise :class:`UnreadableResult`."""
    try:
        if path.stat().st_size > MAX_RESULT_BYTES:
            raise UnreadableResult(f"{path.name} is larger than {MAX_RESULT_BYTES} bytes; record less in figures")
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise UnreadableResult(f"{path.name}: {error}") from error


def encode_event(event: Event) -> bytes:
    """Return one line."""
    return msgspec.json.encode(event, enc_hook=_to_builtin) + b"\n"


def decode_event(line: bytes) -> Event | None:
    """Read one line; ``None`` for what is not an event: a stray write into the pipe is no reason to fail a job."""
    try:
        return _EVENTS.decode(line)
    except msgspec.DecodeError:
        return None


_EVENTS: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def _to_builtin(value: Any) -> Any:
    """Make numpy's and other foreign scalars and arrays plain."""
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)
