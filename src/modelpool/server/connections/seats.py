"""How many connections each web process of the node holds: a small table in memory that all of them see."""

from __future__ import annotations

import contextlib
import mmap
import os

_PID, _COUNT = 0, 1
_CELLS = 2
_CELL_BYTES = 4


class Seats:
    """A seat for each web process: its process id, and one more than the connections it holds; 0 while it takes none.

    The supervisor gives seats and takes them back, for a process may be killed. Each process writes only the count of
    its own, so nothing is locked; what others read may be a moment old.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        cells = memoryview(mmap.mmap(descriptor, os.fstat(descriptor).st_size)).cast("I")
        self._seats = [cells[at : at + _CELLS] for at in range(0, len(cells), _CELLS)]

    @classmethod
    def for_processes(cls, most: int) -> Seats:
        """Make a table for so many processes at a time; what comes on top is served as well, but not counted."""
        descriptor = os.memfd_create("seats", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, most * _CELLS * _CELL_BYTES)
        return cls(descriptor)

    def give(self, pid: int) -> None:
        """Give a process a seat."""
        free = next((seat for seat in self._seats if seat[_PID] == 0), None)
        if free is not None:
            free[_COUNT] = 0
            free[_PID] = pid

    def take_back(self, pid: int) -> None:
        """Free the seat of a process that has ended."""
        for seat in self._seats:
            if seat[_PID] == pid:
                seat[_COUNT] = seat[_PID] = 0

    def of(self, pid: int) -> Seat:
        """Return the seat of a process; one that was given none shares with nobody."""
        others = [seat for seat in self._seats if seat[_PID] != pid]
        own = next((seat for seat in self._seats if seat[_PID] == pid), memoryview(bytearray(8)).cast("I"))
        return Seat(own, others)


class Seat:
    """What one process says of its connections, and sees of the others'."""

    def __init__(self, own: memoryview, others: list[memoryview]) -> None:
        self._own = own
        self._others = others

    def hold(self, connections: int) -> None:
        """Say that this process takes connections, and how many it holds."""
        self._own[_COUNT] = connections + 1

    def leave(self) -> None:
        """Say that this process takes no more connections."""
        self._own[_COUNT] = 0

    def fewest_of_others(self) -> int | None:
        """Return how many that other process holds that has the fewest; ``None`` where no other takes any."""
        with contextlib.suppress(ValueError):
            return min(seat[_COUNT] for seat in self._others if seat[_COUNT]) - 1
        return None
