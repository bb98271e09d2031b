"""The metrics of all processes of a server as one: the living by their files, the dead in a file that they share.

What dead processes counted stays counted, so that counters never go back; their gauges are gone with them.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelpool.core.metrics.admission import OTHER, ModelName
from modelpool.core.metrics.families import REGISTRY, SEPARATOR, STORE, Family, own_file_name, start_of
from modelpool.core.metrics.samples import NOWHERE, SampleFile, read_records

Labels = tuple[str, ...]
Values = list[float]
Merged = dict[str, dict[Labels, Values]]
"""Values by family and label values."""

_DEAD = "dead"
_FOLDED = b"\x00folded\x00"


def collect(folder: Path | None, admitted: dict[ModelName, str]) -> Merged:
    """Return what all processes with files in ``folder`` count, or this process alone; models not admitted are one."""
    merged: Merged = {}
    if folder is None:
        with STORE.lock:
            _merge(merged, STORE.open().records(), admitted)
        return merged
    with _locked(folder):
        _fold(folder, admitted)
        _merge(merged, read_records(folder / _DEAD), admitted)
        for path in sorted(folder.glob("*.samples")):
            _merge(merged, read_records(path), admitted, skip_gauges=not _is_alive(path))
    return merged


def _fold(folder: Path, admitted: dict[ModelName, str]) -> None:
    """Take the files of dead processes together into one; needs the lock.

    The new file tells which ones are in it, so that one which is not deleted yet is never counted twice.
    """
    done = {key.removeprefix(_FOLDED).decode() for key, _ in read_records(folder / _DEAD) if key.startswith(_FOLDED)}
    dead = [path for path in folder.glob("*.samples") if not _is_alive(path)]
    new = [path for path in dead if path.name not in done]
    if new:
        merged: Merged = {}
        for path in (folder / _DEAD, *new):
            _merge(merged, read_records(path), admitted, skip_gauges=True, keep_numbers=True)
        try:
            _write(folder / _DEAD, merged, folded=[path.name for path in dead])
        except OSError:  # a full disk: they stay as they are until there is room
            return
    for path in dead:
        path.unlink(missing_ok=True)


def _write(target: Path, merged: Merged, *, folded: Iterable[str]) -> None:
    private = target.with_suffix(".new")
    private.unlink(missing_ok=True)
    file = SampleFile(private)
    places = [
        file.add(REGISTRY[name].key_of(labels), values)
        for name, series in merged.items()
        for labels, values in series.items()
    ]
    places += [file.add(_FOLDED + name.encode(), ()) for name in folded]
    file.close()
    if NOWHERE in places:
        private.unlink()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    private.replace(target)


def _merge(
    merged: Merged,
    records: Iterable[tuple[bytes, Sequence[float]]],
    admitted: dict[ModelName, str],
    *,
    skip_gauges: bool = False,
    keep_numbers: bool = False,
) -> None:
    for key, values in records:
        name, *labels = key.decode().split(SEPARATOR)
        family = REGISTRY.get(name)
        if family is None or family.width != len(values) or (skip_gauges and family.kind == "gauge"):
            continue  # of another version of the program, while one replaces the other
        named = _named(family, labels, admitted, keep_number=keep_numbers) if family.names_models else tuple(labels)
        series = merged.setdefault(name, {})
        before = series.get(named)
        series[named] = list(values) if before is None else _combine(family, before, values)


def _named(family: Family, labels: list[str], admitted: dict[ModelName, str], *, keep_number: bool) -> Labels:
    """Return the labels, without the number; those of a model that is not in the table are ``_other``."""
    tenant, model = family.label_names.index("tenant"), family.label_names.index("model")
    *shown, number = labels
    if number and admitted.get((shown[tenant], shown[model])) != number:
        hidden = {"tenant", "model", "version"}
        shown = [OTHER if name in hidden else value for name, value in zip(family.label_names, shown, strict=True)]
        number = ""
    return (*shown, number) if keep_number else tuple(shown)


def _combine(family: Family, one: Values, other: Sequence[float]) -> Values:
    if family.kind == "gauge" and family.merge != "sum":
        choose = max if family.merge == "max" else min
        return [choose(a, b) for a, b in zip(one, other, strict=True)]
    return [a + b for a, b in zip(one, other, strict=True)]


def _is_alive(path: Path) -> bool:
    if path.name == own_file_name():
        return True
    pid, _, began = path.stem.partition("-")
    return pid.isdigit() and bool(began) and start_of(int(pid)) == began


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
