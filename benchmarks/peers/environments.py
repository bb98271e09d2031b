"""An environment for each peer, made once: ``.bench/NAME`` beside the benchmarks, ignored by git.

Peers need libraries that contradict each other and ours, so none is installed into the project's environment. Exact
versions are in ``peers/NAME/requirements.txt``; when that file or Python changes, the environment is made anew.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".bench"
_UV_BESIDE_US = Path(sys.executable).with_name("uv")


def scripts_of(peer: str) -> Path:
    """Return the folder with the peer's ``python`` and its commands; make the environment where there is none yet."""
    folder = ENVIRONMENTS / peer
    requirements = HERE / peer / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    mark = folder / "complete"  # written last: an interrupted installation is begun again
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing {peer} into {folder} (once)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, requirements)
        mark.write_text(wanted)
    return folder / "bin"


def version_of(peer: str) -> str:
    """Return the version that is pinned."""
    lines = (HERE / peer / "requirements.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{peer}==")).partition("==")[2]


def _install(folder: Path, requirements: Path) -> None:
    uv = str(_UV_BESIDE_US) if _UV_BESIDE_US.exists() else shutil.which("uv")
    python = str(folder / "bin" / "python")
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "-r", str(requirements))
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(python, "-m", "pip", "install", "--quiet", "-r", str(requirements))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
