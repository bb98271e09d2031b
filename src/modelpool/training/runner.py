"""What child processes do: train a model, describe a dataset, list a source of trainers.

No Django here, no database of ours and no credential (but a query's own): a child reads its folder and writes to it.
"""

from __future__ import annotations

import math
import os
import platform
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from modelpool.core.compile import compile_estimator
from modelpool.core.compile.base import Parity
from modelpool.core.errors import BadTrainingData, Invalid, ModelpoolError, UnknownTrainer
from modelpool.core.formats import FORMATS, LoadedModel
from modelpool.core.policies.metric_modes import metric_mode
from modelpool.core.runtime.process.example_row import check_example, example_inputs
from modelpool.core.signature import ModelSignature
from modelpool.core.trainer import TrainedModel, Trainer
from modelpool.training import queries
from modelpool.training.child import emit
from modelpool.training.child_run import MAX_NAME_CHARACTERS, READING_ENDS_AT, TRAINING_ENDS_AT, ChildRun
from modelpool.training.messages import (
    REQUEST_FILE,
    RESULT_FILE,
    Failed,
    LogLine,
    ProfileRequest,
    ProfileResult,
    Progress,
    QueryRequest,
    QueryResult,
    Saved,
    TrainersRequest,
    TrainersResult,
    TrainRequest,
    TrainResult,
    read_json,
    write_json,
)
from modelpool.training.plain_estimators import sample_of, signature_of
from modelpool.training.queries import run_query
from modelpool.training.tables import profile_table, read_table
from modelpool.training.tables.detect import detect_format
from modelpool.training.tables.opening import limit_unpacked
from modelpool.training.tables.to_parquet import write_parquet
from modelpool.training.trainer_sources import describe, explain, load_source

if TYPE_CHECKING:
    import pandas as pd

_LIBRARIES = ("scikit-learn", "numpy", "pandas", "skops", "onnx", "skl2onnx", "onnxruntime", "modelpool")
_TRIED_ROWS = 5
NO_SAMPLE = (
    "Not compiled: which columns it was fitted on cannot be told. Fit on run.features or some of its columns by name, "
    "or return TrainedModel(estimator, sample=…) with rows as the estimator takes them."
)
TOO_MUCH_AT_ONCE = (
    "Reading the file took more memory than is allowed: a row, a cell or a group of rows of it is too large. Write "
    "smaller row groups (in pandas: to_parquet(row_group_size=100_000)), or fewer columns."
)
OUT_OF_MEMORY = (
    "Training needed more memory than the job's limit. Train on fewer rows or columns, choose a smaller model, or ask "
    "for a higher memory_limit_bytes."
)


def train(folder: Path) -> None:
    """Train, save, prove that it loads, compile; every way to fail becomes one event."""
    try:
        _train(read_json(folder / REQUEST_FILE, TrainRequest), folder=folder)
    except BaseException as error:  # noqa: BLE001 - the edge of the process
        emit(LogLine(_traceback_of(error)))
        emit(_to_failure(error))


def profile(folder: Path) -> None:
    """Describe a dataset; a file that holds no table is a result as well."""
    request = read_json(folder / REQUEST_FILE, ProfileRequest)
    limit_unpacked(request.max_unpacked_bytes)
    try:
        result = _describe(request, folder=folder)
    except BadTrainingData as error:
        result = ProfileResult(warning=error.detail)
    except MemoryError:
        result = ProfileResult(warning=TOO_MUCH_AT_ONCE)
    write_json(folder / RESULT_FILE, result)


def _describe(request: ProfileRequest, *, folder: Path) -> ProfileResult:
    data = Path(request.data)
    format_name = detect_format(data, named=request.format)
    profile = profile_table(data, format=format_name)
    is_wanted = bool(request.table) and format_name not in ("parquet", "json")
    if is_wanted:
        write_parquet(data, format=format_name, profile=profile, target=folder / request.table)
    found = profile.to_dict()
    return ProfileResult(
        n_rows=profile.n_rows,
        columns=found["columns"],
        preview=found["preview"],
        warning="\n".join(profile.skipped)[:4000],
        format=format_name,
        has_table=is_wanted,
    )


def query(folder: Path) -> None:
    """Run a query of the operator's; one that fails is a result as well."""
    request = read_json(folder / REQUEST_FILE, QueryRequest)
    (folder / REQUEST_FILE).unlink()
    try:
        result = QueryResult(n_rows=run_query(request, folder=folder))
    except Exception as error:  # noqa: BLE001 - whatever a library of a database raises
        problem = queries.explain(error, source=request.source)
        result = QueryResult(problem=problem, log=f"{type(error).__name__}: {error}"[:1000])
    write_json(folder / RESULT_FILE, result)


def trainers(folder: Path) -> None:
    """List what a source of trainers offers; code that raises is a result as well."""
    request = read_json(folder / REQUEST_FILE, TrainersRequest)
    try:
        result = TrainersResult(trainers=describe(request.source, trainers_dir=Path(request.trainers_dir)))
    except BaseException as error:  # noqa: BLE001 - a source is code: it may raise anything
        traceback.print_exc()
        result = TrainersResult(problem=explain(error, source=request.source))
    write_json(folder / RESULT_FILE, result)


ENTRIES: dict[str, Callable[[Path], None]] = {"train": train, "profile": profile, "trainers": trainers, "query": query}


def _train(request: TrainRequest, *, folder: Path) -> None:
    run, trainer = _prepare(request)
    emit(Progress(READING_ENDS_AT, "training"))
    with _blas_threads():
        trained = trainer.train(run)
    trained = _complete(trained, run=run)
    emit(Progress(TRAINING_ENDS_AT, "saving"))
    result = _save(trained, run=run, request=request, folder=folder)
    write_json(folder / RESULT_FILE, result)
    emit(Saved())
    if result.is_compilable:
        emit(Progress(0.93, "compiling"))
        _compile(trained, result=result, folder=folder)
        write_json(folder / RESULT_FILE, result)


def _prepare(request: TrainRequest) -> tuple[ChildRun, Trainer]:
    emit(Progress(0.0, "reading data"))
    limit_unpacked(request.max_unpacked_bytes)
    data = Path(request.data)
    table = read_table(data, format=detect_format(data, named=request.format), target=request.target)
    for note in table.notes:
        emit(LogLine(note))
    trainer = _find(request)
    run = ChildRun(
        table.frame,
        columns=table.columns,
        target=request.target,
        params=_convert(request.params, trainer=trainer),
        tenant=request.tenant,
        model=request.model,
        seed=request.seed,
    )
    return run, trainer


def _find(request: TrainRequest) -> Trainer:
    """Load the trainer's source as it is now, which may be newer than the catalogue."""
    offered = {item.name: item for item in load_source(request.source, trainers_dir=Path(request.trainers_dir))}
    if request.trainer not in offered:
        raise UnknownTrainer(request.trainer, sorted(offered))
    return offered[request.trainer]


def _convert(params: dict[str, Any], *, trainer: Trainer) -> Any:
    try:
        return msgspec.convert(params, trainer.Params)
    except msgspec.ValidationError as error:
        detail = str(error).replace("`$", "`params")
        raise Invalid(f"The parameters do not fit trainer {trainer.name!r}: {detail}.") from error


def _complete(trained: Any, *, run: ChildRun) -> TrainedModel:
    """Fill in what the trainer left out: sample, signature, primary metric, and what it logged on the way."""
    if not isinstance(trained, TrainedModel):
        trained = TrainedModel(trained)
    if trained.estimator is None:
        raise BadTrainingData("The trainer returned nothing; return the fitted estimator or a TrainedModel.")
    if trained.format not in FORMATS:
        known = ", ".join(FORMATS.names())
        raise BadTrainingData(f"The trainer returned format {trained.format!r}; known are {known}.")
    sample, signature = trained.sample, trained.signature
    if trained.format == "sklearn":
        if sample is None and signature is None:
            sample = sample_of(run, estimator=trained.estimator)
        signature = signature or signature_of(run, estimator=trained.estimator, sample=sample)
    elif signature is None:
        signature = FORMATS[trained.format].signature_of(trained.estimator)
    primary = (trained.primary_metric or "")[:MAX_NAME_CHARACTERS]
    mode = trained.primary_mode if primary else None
    metrics = _metrics_of(trained, run=run, primary=primary)
    primary = primary or next(iter(metrics), "")
    return TrainedModel(
        estimator=trained.estimator,
        format=trained.format,
        signature=signature,
        sample=sample,
        metrics=metrics,
        primary_metric=primary or None,
        primary_mode=mode or metric_mode(primary),
        figures={**run.figures, **trained.figures},
    )


def _metrics_of(trained: TrainedModel, *, run: ChildRun, primary: str) -> dict[str, float]:
    """Return what the trainer logged and gave, finite values only; say so when there is none to judge the model by."""
    given = {str(name)[:MAX_NAME_CHARACTERS]: float(value) for name, value in trained.metrics.items()}
    metrics = {name: value for name, value in {**run.metrics, **given}.items() if math.isfinite(value)}
    if primary and primary not in metrics:
        known = ", ".join(sorted(metrics)[:50]) or "none"
        emit(
            LogLine(
                f"The primary metric {primary!r} has no value, so this version will not be compared "
                f"with others by it; metrics that have one: {known}."
            )
        )
    return metrics


def _save(trained: TrainedModel, *, run: ChildRun, request: TrainRequest, folder: Path) -> TrainResult:
    plugin, signature = FORMATS[trained.format], trained.signature
    assert signature is not None  # _complete sees to it
    is_file = isinstance(trained.estimator, bytes | bytearray)
    data = bytes(trained.estimator) if is_file else plugin.save(trained.estimator, signature=signature)
    _prove(plugin.load(data, signature), signature=signature, sample=trained.sample)
    name = f"model{plugin.suffix}"
    (folder / name).write_bytes(data)
    is_estimator = trained.format == "sklearn" and not is_file
    return TrainResult(
        format=trained.format,
        file=name,
        is_compilable=is_estimator and trained.sample is not None,
        parity=not_compiled(NO_SAMPLE).to_dict() if is_estimator and trained.sample is None else None,
        signature=signature.to_dict(),
        metrics=dict(trained.metrics),
        primary_metric=trained.primary_metric or "",
        primary_mode=trained.primary_mode,
        params={**msgspec.to_builtins(run.params), "trainer": request.trainer, "target": request.target},
        figures=dict(trained.figures),
        libraries=_libraries(),
    )


def _prove(loaded: LoadedModel, *, signature: ModelSignature, sample: pd.DataFrame | np.ndarray | None) -> None:
    """Let the model that was read back from its file predict a few rows: what cannot must not become a version."""
    check_example(signature)
    if sample is not None:
        rows = sample[:_TRIED_ROWS]
        inputs = {signature.inputs[0].name: np.asarray(rows)}
        if signature.is_tabular:
            columns = _named(rows, signature) if isinstance(rows, np.ndarray) else rows
            inputs = {spec.name: _column(columns[spec.name], dtype=spec.numpy_dtype) for spec in signature.inputs}
        loaded.predict(inputs, list(signature.methods))
    elif signature.example is not None:
        loaded.predict(example_inputs(signature), list(signature.methods))
    loaded.close()


def _named(rows: np.ndarray[Any, Any], signature: ModelSignature) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=[spec.name for spec in signature.inputs])


def _column(values: pd.Series[Any], *, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    has_gaps = dtype.kind in "iub" and bool(values.isna().any())
    return values.to_numpy(dtype=np.float64 if has_gaps else dtype)


def _compile(trained: TrainedModel, *, result: TrainResult, folder: Path) -> None:
    assert trained.signature is not None  # is_compilable says so
    assert trained.sample is not None
    try:
        made = compile_estimator(trained.estimator, signature=trained.signature, sample=trained.sample)
    except Exception as error:  # noqa: BLE001 - the model is good without its compiled form
        traceback.print_exc()
        result.parity = not_compiled(f"compiling failed: {one_line(error)}").to_dict()
        return
    result.parity = made.parity.to_dict()
    if made.data is not None:
        result.compiled = "compiled.onnx"
        (folder / result.compiled).write_bytes(made.data)


def not_compiled(reason: str) -> Parity:
    """Return the parity of a model for which there is nothing to compare."""
    return Parity(equal=False, rows=0, labels_equal=None, max_abs_diff=None, tolerance=0.0, reason=reason)


def one_line(error: BaseException) -> str:
    """Return ``ValueError: what it said``, without line breaks, at most 1000 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000]


def _traceback_of(error: BaseException) -> str:
    """Return the traceback without this file's own frames at its beginning, which tell a trainer's author nothing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _to_failure(error: BaseException) -> Failed:
    if isinstance(error, MemoryError) or "bad_alloc" in str(error):
        return Failed("out_of_memory", OUT_OF_MEMORY)
    if isinstance(error, ModelpoolError):
        return Failed(error.code, error.detail)
    return Failed("trainer_failed", one_line(error))


def _libraries() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def _blas_threads() -> Iterator[None]:
    """Give BLAS the processors back that the zygote kept it from using."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=len(os.sched_getaffinity(0)), user_api="blas"):
        yield
