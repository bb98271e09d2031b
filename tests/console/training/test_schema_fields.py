"""Fields made of a JSON Schema: kinds, bounds, defaults; and values read from what was typed."""

from __future__ import annotations

import pytest
from django.http import QueryDict

from modelpool.console.training.schema_fields import fields_of
from modelpool.console.training.schema_form import ParamsForm
from modelpool.core.errors import FieldError, Invalid

pytestmark = pytest.mark.django_db


def schema(**properties):
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "integer"}, "integer"),
        ({"type": ["number", "null"]}, "number"),
        ({"type": "boolean", "default": True}, "boolean"),
        ({"enum": ["a", 2, None]}, "choice"),
        ({"anyOf": [{"enum": ["a"]}, {"title": "other names", "enum": ["b"]}], "type": "string"}, "choice"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
        ({"type": "array", "items": {"type": "string"}}, "list"),
        ({"type": "array", "items": {"type": "integer"}}, "json"),
        ({"anyOf": [{"type": "number"}, {"enum": ["auto"]}]}, "json"),
        ({"type": "object"}, "json"),
        ({}, "json"),
        (True, "json"),
    ],
)
def test_kinds(part, kind):
    assert [one.kind for one in fields_of(schema(thing=part))] == [kind]


def test_nothing_of_a_broken_schema_is_a_field():
    assert fields_of({}) == []
    assert fields_of({"properties": ["x"]}) == []


def test_bounds_are_said_in_words():
    one, other = fields_of(schema(a={"type": "integer", "minimum": 0, "maximum": 2**32}, b={"exclusiveMinimum": 0.5}))
    assert one.limits == "at least 0, at most 4,294,967,296"
    assert other.limits == "more than 0.5"


@pytest.mark.parametrize(
    ("part", "typed", "value"),
    [
        ({"type": "integer"}, " 12 ", 12),
        ({"type": "number"}, "1e-3", 0.001),
        ({"type": "number"}, "0,25", 0.25),
        ({"type": "boolean"}, "false", False),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": ["x", True]}, "true", True),
        ({"type": "array", "items": {"type": "string"}}, "a\r\n\r\n b", ["a", "b"]),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ({"anyOf": [{"type": "number"}, {"enum": ["auto"]}]}, "auto", "auto"),
        ({"anyOf": [{"type": "number"}, {"enum": ["auto"]}]}, "3.5", 3.5),
    ],
)
def test_values(part, typed, value):
    posted = QueryDict(mutable=True)
    posted["param.thing"] = typed
    form = ParamsForm(schema(thing=part), posted=posted)
    assert form.values() == {"thing": value}
    assert form.errors == {}


@pytest.mark.parametrize(
    ("part", "typed"),
    [
        ({"type": "integer"}, "1.5"),
        ({"type": "integer"}, "9" * 5000),
        ({"type": "number"}, "nan"),
        ({"type": "number"}, "1e999"),
        ({"type": "object"}, "{"),
        ({"type": "object"}, "[" * 9000),
        ({"type": "string"}, "x" * 20_000),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field(part, typed):
    posted = QueryDict(mutable=True)
    posted["param.thing"] = typed
    form = ParamsForm(schema(thing=part), posted=posted)
    assert form.values() == {}
    assert list(form.errors) == ["thing"]


def test_what_is_left_empty_is_left_to_the_trainer_unless_it_is_required():
    wanted = {**schema(rounds={"type": "integer"}, name={"type": "string"}), "required": ["name"]}
    form = ParamsForm(wanted, posted=QueryDict("param.rounds=&param.name="))
    assert form.values() == {}
    assert list(form.errors) == ["name"]


def test_complaints_of_the_service_go_to_their_fields():
    form = ParamsForm(schema(rounds={"type": "integer"}))
    error = Invalid("x", errors=[FieldError("params.rounds", "must be at least 1."), FieldError("target", "is bad.")])
    assert form.take_errors(error) == ["target: is bad."]
    assert form.errors == {"rounds": "Must be at least 1."}
