"""Private folders, and those that a killed process leaves behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from pathlib import Path

from modelpool import conf
from modelpool.training.work_folders import remove_abandoned, work_folder


def test_a_folder_is_private_and_goes_away() -> None:
    conf.home().prepare()
    with work_folder("test") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "data").write_text("x")
        assert remove_abandoned() == 0
        assert folder.exists()
    assert not folder.exists()


def test_the_folder_of_a_killed_process_is_removed() -> None:
    conf.home().prepare()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def die() -> None:
        with work_folder("test") as folder:
            queue.put(str(folder))
            os.kill(os.getpid(), signal.SIGKILL)

    process = context.Process(target=die)
    process.start()
    folder = Path(queue.get())
    process.join()
    assert folder.exists()
    assert remove_abandoned() == 1
    assert not folder.exists()
