"""Runs the examples of a document: the fenced blocks that are marked, in their order, in one shell.

=====================================  =========================================================================
```` ```bash {run} ````                is run; a command that fails fails the document
```` ```python {file=path/name} ````   is written to that file, in its turn (any language)
```` ```text {output} ````             must be what the block before printed; ``…`` stands for anything
=====================================  =========================================================================

``http://127.0.0.1:8000`` in a block stands for the server of the test. Blocks without a marker are left alone.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.servers.modelpool import inherited_environment

DOCUMENTED_URL = "http://127.0.0.1:8000"
_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<language>\w+) \{(?P<marker>[^}\n]*)\}\n(?P<text>.*?)^(?P=fence)$", re.M | re.S
)


class ExampleFailed(AssertionError):
    """An example does not do what the document says; the message has its line and what it printed."""


@dataclass(frozen=True, slots=True)
class Example:
    """One marked block: ``run``, ``output`` or ``file=…``, with the line where its fence is."""

    line: int
    language: str
    marker: str
    text: str

    @property
    def file(self) -> str | None:
        """Where the block is to be written, if it is a file."""
        return self.marker.removeprefix("file=") if self.marker.startswith("file=") else None


def read_examples(text: str) -> list[Example]:
    """Return the marked blocks of a document; a marker that is not known raises :class:`ExampleFailed`."""
    examples = [
        Example(text.count("\n", 0, found.start()) + 1, found["language"], found["marker"], found["text"])
        for found in _FENCE.finditer(text)
    ]
    for index, example in enumerate(examples):
        if example.marker == "run" and example.language not in ("bash", "sh"):
            raise ExampleFailed(f"line {example.line}: only bash blocks can be run, not {example.language}")
        if example.marker == "output" and (index == 0 or examples[index - 1].marker != "run"):
            raise ExampleFailed(f"line {example.line}: {{output}} must follow a block that is run")
        if example.marker not in ("run", "output") and not example.file:
            raise ExampleFailed(f"line {example.line}: unknown marker {{{example.marker}}}")
    return examples


def run_examples(text: str, *, folder: Path, url: str = DOCUMENTED_URL, timeout_s: float = 300) -> int:
    """Run the marked blocks of a document in ``folder`` and return how many they were; raise :class:`ExampleFailed`."""
    examples = read_examples(text.replace(DOCUMENTED_URL, url))
    printed = folder / ".examples"
    printed.mkdir()
    script = printed / "script"
    script.write_text(_script(examples, printed), encoding="utf-8")
    if not (folder / ".venv").exists():
        (folder / ".venv").symlink_to(sys.prefix)
    try:
        done = subprocess.run(
            ["bash", script],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        failure = f"exit code {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        failure = f"still running after {timeout_s:g} s"
    if failure:
        raise ExampleFailed(_describe(examples, printed, failure))
    _check_outputs(examples, printed)
    return len(examples)


def _script(examples: list[Example], printed: Path) -> str:
    lines = ["set -euo pipefail"]
    for number, example in enumerate(examples):
        lines.append(f"exec >{printed}/{number}.out 2>{printed}/{number}.err")
        if example.marker == "run":
            lines.append(example.text)
        elif example.file:
            content = printed / f"{number}.text"
            content.write_text(example.text, encoding="utf-8")
            target = shlex.quote(example.file)
            lines.append(f'mkdir -p "$(dirname {target})"\ncp {content} {target}')
    return "\n".join(lines)


def _environment(folder: Path) -> dict[str, str]:
    bin_folder = Path(sys.executable).parent
    return {**inherited_environment(), "HOME": str(folder), "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}


def _describe(examples: list[Example], printed: Path, failure: str) -> str:
    number = max(int(path.stem) for path in printed.glob("*.out"))
    example = examples[number]
    said = "".join((printed / f"{number}.{kind}").read_text(errors="replace")[-3000:] for kind in ("out", "err"))
    return f"line {example.line}: {failure}\n{example.text}\nprinted:\n{said}"


def _check_outputs(examples: list[Example], printed: Path) -> None:
    for number, example in enumerate(examples):
        if example.marker != "output":
            continue
        said = (printed / f"{number - 1}.out").read_text(errors="replace").strip()
        pattern = ".*".join(re.escape(part) for part in example.text.strip().split("…"))
        if not re.fullmatch(pattern, said, flags=re.S):
            raise ExampleFailed(f"line {example.line}: expected\n{example.text}\nbut printed was\n{said}")
