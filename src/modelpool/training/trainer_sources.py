"""Where trainers come from, and how one source is loaded. Runs in child processes: a source is code.

A source is a dotted path, ``package.module:attribute`` or ``package.module`` (of the built-in trainers, of installed
packages and of ``[jobs] trainers``), or a file ``trainers/name.py`` of the home folder.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from modelpool.core.errors import ConfigurationError
from modelpool.core.names import check_name
from modelpool.core.trainer import TRAINERS, Trainer
from modelpool.training.messages import TrainerEntry

FOLDER = "trainers"


def list_sources(*, configured: Iterable[str], trainers_dir: Path) -> list[str]:
    """Return every source: installed packages, then the settings', then the files; of one name the first wins."""
    installed = sorted(entry.value for entry in entry_points(group=TRAINERS.group))
    files = sorted(f"{FOLDER}/{path.name}" for path in user_files(trainers_dir))
    return list(dict.fromkeys([*installed, *configured, *files]))


def user_files(trainers_dir: Path) -> list[Path]:
    """Return the files of the folder that may hold trainers; names that begin with ``_`` or ``.`` are left alone."""
    try:
        return [path for path in trainers_dir.iterdir() if path.suffix == ".py" and path.name[0] not in "_."]
    except (FileNotFoundError, NotADirectoryError):
        return []


def load_source(source: str, *, trainers_dir: Path) -> list[Trainer]:
    """Import a source and return its trainers; whatever the code raises passes through.

    A file or module may register trainers, or just define them: classes with a ``name``, and decorated functions.
    """
    if str(trainers_dir) not in sys.path:
        sys.path.append(str(trainers_dir))
    if source.startswith(f"{FOLDER}/") and source.endswith(".py"):
        return _trainers_of(_import_file(trainers_dir / source.removeprefix(f"{FOLDER}/")))
    module_name, _, attribute = source.partition(":")
    module = importlib.import_module(module_name)
    if not attribute:
        return _trainers_of(module)
    return [_as_trainer(getattr(module, attribute), source=source)]


def describe(source: str, *, trainers_dir: Path) -> list[TrainerEntry]:
    """Return what the source offers; raise :class:`ConfigurationError` for a trainer that cannot be offered."""
    return [_describe_one(item, source=source) for item in load_source(source, trainers_dir=trainers_dir)]


def explain(error: BaseException, *, source: str) -> str:
    """Return one line that says what went wrong, and in which line of the source."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"/{source}".endswith(f"/{FOLDER}/{Path(frame.filename).name}")]
    line = error.lineno if isinstance(error, SyntaxError) else own[-1].lineno if own else None
    place = f" (line {line})" if line else ""
    return f"{type(error).__name__}: {error}{place}"[:2000]


def inline_references(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema without ``$ref``, which forms and simple validators cannot follow; cycles stay."""
    definitions = schema.get("$defs", {})

    def expand(node: Any, seen: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [expand(item, seen) for item in node]
        if not isinstance(node, dict):
            return node
        name = str(node.get("$ref", "")).removeprefix("#/$defs/")
        if name in definitions and name not in seen:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**expand(definitions[name], (*seen, name)), **expand(rest, seen)}
        return {key: expand(value, seen) for key, value in node.items()}

    body = {key: value for key, value in schema.items() if key != "$defs"}
    expanded: dict[str, Any] = expand(body, ())
    return expanded if "#/$defs/" not in str(expanded) else {**expanded, "$defs": definitions}


def _describe_one(item: Trainer, *, source: str) -> TrainerEntry:
    check_name(item.name, field="trainer")
    schema = msgspec.json.schema(item.Params, schema_hook=lambda _: {})
    return TrainerEntry(
        name=item.name, description=item.description[:1000], params_schema=inline_references(schema), source=source
    )


def _import_file(path: Path) -> ModuleType:
    name = f"modelpool_trainers_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and annotations look their module up
    spec.loader.exec_module(module)
    return module


def _trainers_of(module: ModuleType) -> list[Trainer]:
    """Return instances and own classes that stand in the module, each once."""
    found: dict[int, Trainer] = {}
    for value in vars(module).values():
        is_own_class = inspect.isclass(value) and issubclass(value, Trainer) and value.__module__ == module.__name__
        if isinstance(value, Trainer) or (is_own_class and not inspect.isabstract(value) and hasattr(value, "name")):
            found[id(value)] = _as_trainer(value, source=module.__name__)
    return list({item.name: item for item in found.values()}.values())


def _as_trainer(value: Any, *, source: str) -> Trainer:
    if inspect.isclass(value) and issubclass(value, Trainer):
        return value()
    if isinstance(value, Trainer):
        return value
    raise ConfigurationError(
        f'{source} is a {type(value).__name__}, not a trainer; decorate the function with @trainer("name")'
    )
