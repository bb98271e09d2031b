"""A tree of settings as rows for people: each key with its value, its default and where it comes from, without secrets.

Independent of which settings there are: ``modelpool config show`` and the console show the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from modelpool.core.quantities import Duration, Size
from modelpool.core.redaction import redact

Unit = Literal["", "bytes", "seconds"]
MASK = "***"
DEFAULT = "default"
_SECRET_WORDS = ("password", "secret", "token", "access_key", "private_key")
_NO_SECRETS = ("_file", "_folder", "_id", "_url", "_lifetime")
"""Ends of keys that name where a secret is, or who has it, and not the secret."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key; ``default`` is what holds when nobody sets it, ``None`` where there is no such thing."""

    key: str
    value: Any
    origin: str
    default: Any = None
    unit: Unit = ""

    @property
    def is_default(self) -> bool:
        """Whether nobody has set it."""
        return self.origin == DEFAULT


def effective_settings(settings: msgspec.Struct, *, origins: Mapping[str, str]) -> list[Setting]:
    """Return every setting below ``settings``, in the order in which they are declared; secrets are masked."""
    return [
        Setting(
            key,
            _masked(key, _plain(value)),
            origins.get(key, DEFAULT),
            default=_masked(key, _plain(default)),
            unit=unit,
        )
        for key, value, default, unit in _leaves(settings)
    ]


Leaf = tuple[str, Any, Any, Unit]


def _leaves(table: msgspec.Struct, prefix: str = "") -> Iterator[Leaf]:
    config = table.__struct_config__
    if isinstance(config.tag_field, str):
        yield f"{prefix}{config.tag_field}", config.tag, None, ""
    for field in msgspec.structs.fields(table):
        unit: Unit = "bytes" if field.type is Size else "seconds" if field.type is Duration else ""
        yield from _below(f"{prefix}{field.name}", getattr(table, field.name), _default_of(field), unit)


def _below(key: str, value: Any, default: Any, unit: Unit) -> Iterator[Leaf]:
    if isinstance(value, msgspec.Struct):
        yield from _leaves(value, f"{key}.")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _below(f"{key}.{name}", item, None, "")
    elif isinstance(value, Sequence) and any(isinstance(item, msgspec.Struct | Mapping) for item in value):
        for position, item in enumerate(value):
            yield from _below(f"{key}.{position}", item, None, "")
    else:
        yield key, value, default, unit


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    default = field.default
    if default is msgspec.NODEFAULT or isinstance(default, msgspec.Struct):
        return None
    return default


def _plain(value: Any) -> Any:
    """Return what JSON has: bytes and seconds as numbers, tuples as lists."""
    if isinstance(value, Size):
        return int(value)
    plain = float(value) if isinstance(value, Duration) else msgspec.to_builtins(value)
    return list(plain) if isinstance(plain, tuple) else plain


def _masked(key: str, value: Any) -> Any:
    name = key.rpartition(".")[2]
    is_secret = any(word in name for word in _SECRET_WORDS) and not name.endswith(_NO_SECRETS)
    if is_secret and value:
        return MASK
    return redact(value) if isinstance(value, str) else value
