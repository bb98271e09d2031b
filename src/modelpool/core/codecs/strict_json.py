"""JSON read strictly: RFC 8259 to the letter, with what it leaves open decided.

Refused are duplicate keys, ``NaN`` and ``Infinity``, numbers that overflow, texts with NUL or lone surrogates, nesting
deeper than 32, bytes that are not UTF-8. Everything wrong is :class:`~modelpool.core.errors.Malformed`.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import numpy as np

from modelpool.core.errors import Malformed

MAX_DEPTH = 32
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"?|([\[{])|([\]}])', re.DOTALL)
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def parse_json(body: bytes) -> Any:
    """Return plain Python values: dict, list, str, int, float, bool, None."""
    _check_depth(body)
    try:
        text = body.decode("utf-8")
        tree = json.loads(
            text,
            object_pairs_hook=_build_object,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
        )
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8: byte {error.start} is wrong.") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits
        raise Malformed(f"The body is not JSON that is read here: {type(error).__name__}.") from error
    if _SUSPECT_ESCAPE.search(body) or b"\x00" in body:
        _check_texts(tree)
    return tree


def _check_depth(body: bytes) -> None:
    """Raise for deep nesting, by a scan that does not recurse; brackets inside texts only cost a second, exact scan."""
    raw = np.frombuffer(body, np.uint8)
    is_open, is_close = (raw == 0x5B) | (raw == 0x7B), (raw == 0x5D) | (raw == 0x7D)
    steps = is_open[is_open | is_close].astype(np.int32) * 2 - 1
    if steps.size and int(steps.cumsum(dtype=np.int64).max()) > MAX_DEPTH and _exact_depth(body) > MAX_DEPTH:
        raise Malformed(f"The body nests deeper than {MAX_DEPTH} levels.")


def _exact_depth(body: bytes) -> int:
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(body):
        if match[1]:
            depth += 1
            deepest = max(deepest, depth)
        elif match[2]:
            depth -= 1
    return deepest


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Malformed(f"The key {twice[:80]!r} occurs twice in one object.")
    return built


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON; write null for a missing number.")


def _parse_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Malformed(f"The number {text[:40]} is too large.")
    return value


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise Malformed("A text holds the character NUL.")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise Malformed("A text holds half of a surrogate pair.")
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key)
            _check_texts(item)
