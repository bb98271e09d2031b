"""``docs/reference/settings.md`` documents every setting: its name, default, variable and meaning."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from modelpool import conf
from tests.house.source import ROOT

_PAGE = ROOT / "docs" / "reference" / "settings.md"
_ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| (?P<default>[^|]+) \| `(?P<variable>[A-Z_]+)` \| (?P<meaning>.+) \|$", re.M)


def _tables() -> dict[str, type[msgspec.Struct]]:
    """Return every table of the file by its heading; stores are headed by their kind."""
    tables: dict[str, type[msgspec.Struct]] = {}
    for field in msgspec.structs.fields(conf.Settings):
        if field.name != "stores":
            tables[field.name] = field.type
    for kind in get_args(conf.StoreSettings):
        tables[f"stores.ALIAS: {kind.__struct_config__.tag}"] = kind
    for kind in get_args(conf.SourceSettings):
        tables[f"datasets.sources.NAME: {kind.__struct_config__.tag}"] = kind
    tables["sign_in.providers.NAME"] = conf.ProviderSettings
    return tables


_FIELDS = [(heading, field) for heading, table in _tables().items() for field in msgspec.structs.fields(table)]


def _section(heading: str) -> dict[str, re.Match[str]]:
    """Return the rows of one section of the page by key."""
    name, _, kind = heading.partition(": ")
    title = f"## `[{name}]`" + (f', `kind = "{kind}"`' if kind else "")
    _, found, after = _PAGE.read_text(encoding="utf-8").partition(f"{title}\n")
    assert found, f"{_PAGE.name} has no section {title}"
    return {row["key"]: row for row in _ROW.finditer(after.partition("\n## ")[0])}


@pytest.mark.parametrize(("heading", "field"), _FIELDS, ids=lambda value: getattr(value, "name", value))
def test_setting_is_documented_with_its_default_and_variable(heading, field):
    rows = _section(heading)
    assert field.name in rows, f"document {field.name} in the section {heading} of {_PAGE.name}"
    row = rows[field.name]
    section = heading.partition(":")[0].replace("stores.ALIAS", "stores_ALIAS").replace(".", "_")
    assert row["variable"] == f"MODELPOOL_{section}_{field.name}".upper()
    default = {} if field.default_factory is dict else field.default
    assert _read(row["default"], field) == default
    assert len(row["meaning"]) > 20


@pytest.mark.parametrize("heading", list(_tables()))
def test_no_setting_is_documented_that_is_not_there(heading):
    known = {field.name for field in msgspec.structs.fields(_tables()[heading])}
    assert set(_section(heading)) - known - {"kind"} == set()


def test_words_that_may_be_chosen_are_listed():
    for heading, field in _FIELDS:
        hint = get_type_hints(_tables()[heading])[field.name]
        if get_origin(hint) is Literal:
            meaning = _section(heading)[field.name]["meaning"]
            assert all(f"`{word}`" in meaning for word in get_args(hint)), f"{heading}.{field.name}"


def _read(written: str, field: msgspec.structs.FieldInfo) -> Any:
    """Return the default as documented, read as the file would be."""
    word = written.strip().strip("`")
    if word == "–":
        return None
    if word == "required":
        return msgspec.NODEFAULT
    document = msgspec.toml.decode(f"value = {word}")["value"]
    hint = {"Size": conf.parse_size, "Duration": conf.parse_duration}.get(getattr(field.type, "__name__", ""))
    if hint is not None:
        return hint(document)
    return tuple(document) if isinstance(document, list) else document
