"""Folders of killed test processes are swept, those of running ones are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import sandbox as module
from tests.house.source import ROOT
from tests.sandbox import sandbox

_MAKE = "from tests.sandbox import sandbox; import sys; print(sandbox(), flush=True); sys.stdin.read()"


def test_folder_of_a_killed_process_is_swept_and_of_a_running_one_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tmp_path.chmod(0o755)
    with _process() as killed, _process() as running:
        folders = [process.stdout.readline().strip() for process in (killed, running)]
        assert all(Path(folder).is_dir() for folder in folders)
        killed.kill()
        killed.wait()
        base = Path(folders[0]).parent
        module._sweep(base)
        assert [Path(folder).is_dir() for folder in folders] == [False, True]
        running.stdin.close()
        running.wait()
        assert not Path(folders[1]).is_dir()


def test_other_users_can_reach_it():
    folder = sandbox()
    assert all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def _process() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _MAKE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
