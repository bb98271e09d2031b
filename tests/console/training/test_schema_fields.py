"""Fields made of a JSON Schema: kinds, bounds, defaults; and values read from what was typed."""

from __future__ import annotations

import pytest
from django.http import QueryDict

from modelpool.console.training.schema_fields import fields_of
from modelpool.console.training.schema_form import ParamsForm
from modelpool.core.errors import FieldError, Invalid, InvalidField

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


NESTED = {
    "properties": {
        "optimizer": {
            "type": "object",
            "title": "Optimiser",
            "properties": {
                "rate": {"type": "number", "default": 0.1},
                "decay": {"type": "object", "properties": {"kind": {"enum": ["none", "step"]}}},
            },
            "required": ["rate"],
        },
        "free": {"type": "object"},
        "with.dot": {"type": "integer"},
    }
}


def test_an_object_is_a_field_for_each_thing_in_it():
    found = fields_of(NESTED)
    assert [(one.name, one.label, one.kind) for one in found] == [
        ("optimizer.rate", "Optimiser: rate", "number"),
        ("optimizer.decay.kind", "Optimiser: decay: kind", "choice"),
        ("free", "Free", "json"),
        ("with.dot", "With.dot", "integer"),
    ]


def test_what_is_typed_for_an_object_is_put_together_and_shown_again():
    posted = QueryDict(mutable=True)
    posted.update({"param.optimizer.rate": "0.5", "param.optimizer.decay.kind": "step", "param.with.dot": "3"})
    values = ParamsForm(schema=NESTED, posted=posted).values()
    assert values == {"optimizer": {"rate": 0.5, "decay": {"kind": "step"}}, "with.dot": 3}
    again = ParamsForm(schema=NESTED, initial=values)
    shown = {row.field.name: row.text for row in [*again.basic, *again.advanced]}
    assert shown == {"optimizer.rate": "0.5", "optimizer.decay.kind": "step", "free": "", "with.dot": "3"}
    assert ParamsForm(schema=NESTED, posted=QueryDict()).values() == {}


def test_complaints_about_what_is_in_an_object_go_to_its_field():
    form = ParamsForm(schema=NESTED, posted=QueryDict())
    error = InvalidField("params.optimizer.rate", "is too large")
    assert form.take_errors(error) == []
    assert form.errors == {"optimizer.rate": "Is too large"}


def test_objects_in_objects_without_end_are_json_at_last():
    schema: dict = {"properties": {}}
    inner = schema
    for _ in range(50):
        inner["properties"]["x"] = {"type": "object", "properties": {}}
        inner = inner["properties"]["x"]
    inner["properties"]["x"] = {"type": "integer"}
    (one,) = fields_of(schema)
    assert (one.name, one.kind) == ("x.x.x.x", "json")


def test_an_object_that_may_be_left_out_is_a_field_for_each_thing_in_it_too():
    options = {"type": "object", "title": "Options", "properties": {"rate": {"type": "number"}}}
    found = fields_of({"properties": {"options": {"anyOf": [options, {"type": "null"}], "default": None}}})
    assert [(one.name, one.label) for one in found] == [("options.rate", "Options: rate")]
