"""An assembler for filters of system calls: classic BPF, as seccomp(2) runs it.

A :class:`Rule` allows one system call, always or when its arguments fit one of several alternatives. A program is made
once; the number of the process that installs it is filled in afterwards (:meth:`Program.for_process`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
"""``linux/seccomp.h``: what a filter may answer; the number of an error is added to the second."""

OWN_PID = -1
"""Stands for the number of the process that installs the program."""

_LOAD, _JUMP_EQUAL, _JUMP_ANY_BIT, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_NUMBER_OFFSET, _MACHINE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_FAIL = -1  # a jump to the next alternative, or to the refusal
_INSTRUCTION = struct.Struct("<HBBI")

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class OneOf:
    """The low 32 bits of an argument are one of the values, as for arguments that the kernel takes as ``int``."""

    argument: int
    values: tuple[int, ...]

    def instructions(self) -> list[Instruction]:
        """Compare with one value after another."""
        last = len(self.values) - 1
        return [
            (_LOAD, 0, 0, _low(self.argument)),
            *((_JUMP_EQUAL, last - n, _FAIL if n == last else 0, value) for n, value in enumerate(self.values)),
        ]


@dataclass(frozen=True, slots=True)
class NoBits:
    """None of the bits of ``mask`` is set in the low 32 bits of an argument."""

    argument: int
    mask: int

    def instructions(self) -> list[Instruction]:
        """Test the bits at once."""
        return [(_LOAD, 0, 0, _low(self.argument)), (_JUMP_ANY_BIT, _FAIL, 0, self.mask)]


@dataclass(frozen=True, slots=True)
class AllBits:
    """All bits of ``mask`` are set in the low 32 bits of an argument."""

    argument: int
    mask: int

    def instructions(self) -> list[Instruction]:
        """Mask, then compare."""
        return [(_LOAD, 0, 0, _low(self.argument)), (_AND, 0, 0, self.mask), (_JUMP_EQUAL, 0, _FAIL, self.mask)]


@dataclass(frozen=True, slots=True)
class Null:
    """All 64 bits of an argument are zero, as for a pointer that is not given."""

    argument: int

    def instructions(self) -> list[Instruction]:
        """Compare both halves."""
        low = _low(self.argument)
        return [
            (_LOAD, 0, 0, at) if part == 0 else (_JUMP_EQUAL, 0, _FAIL, 0) for at in (low, low + 4) for part in (0, 1)
        ]


Condition = OneOf | NoBits | AllBits | Null


@dataclass(frozen=True, slots=True)
class Rule:
    """A system call by number: allowed when all conditions of any alternative hold, else answered ``otherwise``."""

    number: int
    alternatives: tuple[tuple[Condition, ...], ...] = ()
    otherwise: int = RET_ALLOW


@dataclass(frozen=True, slots=True)
class Program:
    """Machine code, and where in it the number of the process belongs."""

    code: bytes
    pid_offsets: tuple[int, ...]

    def for_process(self, pid: int) -> bytes:
        """Return the code with the number filled in."""
        code = bytearray(self.code)
        for offset in self.pid_offsets:
            struct.pack_into("<I", code, offset, pid)
        return bytes(code)


def assemble(rules: Sequence[Rule], *, machine: int, highest: int, otherwise: int) -> Program:
    """Return a program that kills on another machine word or a number above ``highest`` (x32), and follows the rules.

    ``otherwise`` answers for every system call that has no rule.
    """
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _MACHINE_OFFSET),
        (_JUMP_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, RET_KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_JUMP_AT_LEAST, 0, 1, highest + 1),
        (_RETURN, 0, 0, RET_KILL_PROCESS),
    ]
    for rule in rules:
        block = _block(rule)
        lines += [(_JUMP_EQUAL, 0, len(block), rule.number), *block]
    lines.append((_RETURN, 0, 0, otherwise))
    code = b"".join(_INSTRUCTION.pack(*line[:3], 0 if line[3] == OWN_PID else line[3]) for line in lines)
    offsets = tuple(n * _INSTRUCTION.size + 4 for n, line in enumerate(lines) if line[3] == OWN_PID)
    return Program(code, offsets)


def _block(rule: Rule) -> list[Instruction]:
    """Return the instructions for one system call; every way through them ends with an answer."""
    block: list[Instruction] = []
    for conditions in rule.alternatives:
        lines = [line for condition in conditions for line in condition.instructions()]
        lines.append((_RETURN, 0, 0, RET_ALLOW))
        block += [_resolved(line, len(lines) - at - 1) for at, line in enumerate(lines)]
    return [*block, (_RETURN, 0, 0, rule.otherwise)]


def _resolved(line: Instruction, to_next: int) -> Instruction:
    code, on_true, on_false, value = line
    return code, to_next if on_true == _FAIL else on_true, to_next if on_false == _FAIL else on_false, value


def _low(argument: int) -> int:
    return _ARGUMENTS_OFFSET + 8 * argument
