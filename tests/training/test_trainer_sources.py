"""Finding and describing trainers in files and modules."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from modelpool.core.errors import ConfigurationError, InvalidName
from modelpool.core.trainer import Trainer
from modelpool.training.trainer_sources import describe, explain, inline_references, list_sources, load_source

CLASS = '''
from modelpool.core.trainer import Trainer, TrainerParams
class Best(Trainer):
    """The best there is.

    Really.
    """
    name = "{name}"
    class Params(TrainerParams):
        depth: int = 3
    def train(self, run): ...
class Base(Trainer):
    def train(self, run): ...
'''


def write(folder: Path, name: str, code: str) -> str:
    (folder / name).write_text(code)
    return f"trainers/{name}"


def test_files_are_listed_after_packages_and_settings(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "_private.py", ".hidden.py", "notes.txt"):
        write(tmp_path, name, "")
    sources = list_sources(configured=["acme.models:Best"], trainers_dir=tmp_path)
    assert sources[-3:] == ["acme.models:Best", "trainers/a.py", "trainers/b.py"]
    assert "modelpool.training.trainers.tabular_classifier:TabularClassifier" in sources[:-3]
    assert list_sources(configured=[], trainers_dir=tmp_path / "none") == sources[:-3]


def test_a_class_needs_only_a_name(tmp_path: Path) -> None:
    [entry] = describe(write(tmp_path, "best.py", CLASS.format(name="best")), trainers_dir=tmp_path)
    assert (entry.name, entry.description) == ("best", "The best there is.")
    assert entry.params_schema["properties"] == {"depth": {"type": "integer", "default": 3}}
    assert entry.params_schema["additionalProperties"] is False
    assert "$ref" not in str(entry.params_schema)


def test_a_name_that_cannot_be_typed_into_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        describe(write(tmp_path, "wrong.py", CLASS.format(name="The Best")), trainers_dir=tmp_path)


def test_dotted_paths_name_a_class_or_a_whole_module() -> None:
    module = "modelpool.training.trainers.tabular_classifier"
    [named] = load_source(f"{module}:TabularClassifier", trainers_dir=Path("/none"))
    assert isinstance(named, Trainer)
    assert named.name in [item.name for item in load_source(module, trainers_dir=Path("/none"))]
    with pytest.raises(ConfigurationError, match="is a function, not a trainer"):
        load_source("os.path:join", trainers_dir=Path("/none"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nimport nothing_here\n", "ModuleNotFoundError: No module named 'nothing_here' (line 2)"),
        ("def f(:\n", "(line 1)"),
        ("raise SystemExit(3)\n", "SystemExit: 3 (line 1)"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, code: str, message: str) -> None:
    folder = tmp_path / "trainers"
    folder.mkdir()
    source = write(folder, "broken.py", code)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever code may raise
        load_source(source, trainers_dir=folder)
    assert message in explain(caught.value, source=source)


class Leaf(msgspec.Struct):
    value: int


class Branch(msgspec.Struct):
    left: Leaf
    right: Leaf | None = None


class Knot(msgspec.Struct):
    next: Knot | None = None


def test_references_are_written_out() -> None:
    schema = inline_references(msgspec.json.schema(Branch))
    assert schema["properties"]["left"]["properties"]["value"] == {"type": "integer"}
    assert "$ref" not in str(schema)
    assert "$defs" not in schema


def test_a_schema_that_refers_to_itself_stays_valid() -> None:
    schema = inline_references(msgspec.json.schema(Knot))
    assert "#/$defs/Knot" in str(schema["properties"])
    assert "Knot" in schema["$defs"]
