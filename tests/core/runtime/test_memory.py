"""What is said of the memory of processes, against what they really took."""

from __future__ import annotations

import os
import subprocess

from modelpool.core.runtime import memory

_BLOCK_BYTES = 32 << 20


def test_memory_of_its_own_is_counted() -> None:
    before = memory.own_private_bytes()
    block = bytearray(os.urandom(1) * _BLOCK_BYTES)
    grown = memory.own_private_bytes() - before
    assert _BLOCK_BYTES * 0.9 < grown < _BLOCK_BYTES * 2, len(block)


def test_of_a_process_that_is_gone_nothing_is_said() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert memory.private_bytes(gone.pid) is None
