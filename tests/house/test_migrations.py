"""New migrations may run while servers of the version before go on with the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader

from modelpool.tenants.online import AddIndexOnline

_OURS = frozenset(app.label for app in apps.get_app_configs() if app.name.startswith("modelpool."))
_SMALL = frozenset({
    "tenant", "user", "member", "jobworker", "trainerinfo", "trainerproblem", "storemark", "servingprocess",
    "loadedversion", "signingkey",
})  # fmt: skip
"""Tables of some thousand rows at most: an index of them is there in a moment."""
_RENAMES = (migrations.RenameField, migrations.RenameModel, migrations.AlterModelTable)
_REMOVALS = (migrations.RemoveField, migrations.DeleteModel)
_OWN_CODE = (migrations.RunPython, migrations.RunSQL)
BEFORE_THE_FIRST_RELEASE = frozenset({
    ("registry", "0002_activation_stack"),
    ("tenants", "0002_first_rows_and_audit_guard"),
    ("storage", "0003_replicas"),
    ("training", "0002_queue_indexes_profiles_and_trainer_problems"),
    ("training", "0003_dataset_tables_previews_sources_and_expiry"),
})  # fmt: skip
"""Nobody has data from before them. This set does not grow: a migration of today says ``online = "why"`` instead."""


def complaints(migration: Any) -> list[str]:
    """Return what in a migration could stop servers that go on, or break those of the version before."""
    if getattr(migration, "online", "").strip():
        return []
    made = {op.name.lower() for op in migration.operations if isinstance(op, migrations.CreateModel)}
    told = [_complaint(op, migration=migration) for op in migration.operations if _table(op) not in made]
    return [f"{sentence}; see docs/howto/develop.md" for sentence in told if sentence]


def _table(op: Any) -> str:
    return str(getattr(op, "model_name", "")).lower()


def _complaint(op: Any, *, migration: Any) -> str | None:
    for kinds, judge in _RULES:
        if isinstance(op, kinds):
            return judge(op, migration)
    return None


def _of_index(op: Any, migration: Any) -> str | None:
    if isinstance(op, AddIndexOnline):
        alone = len(migration.operations) == 1 and migration.atomic is False
        return (
            None if alone else f"{op.index.name}: an index that is built online has a migration to itself, not atomic"
        )
    return (
        None
        if _table(op) in _SMALL
        else f"{op.index.name}: build it with AddIndexOnline, or nobody can write meanwhile"
    )


def _of_constraint(op: Any, migration: Any) -> str | None:
    if _table(op) in _SMALL:
        return None
    return f"{op.constraint.name}: all rows are read while the table is locked"


def _of_column(op: Any, migration: Any) -> str | None:
    field, name = op.field, f"{op.model_name}.{op.name}"
    if not field.null and not field.many_to_many and not field.has_db_default():
        return f"{name}: older servers insert rows without it: null=True or db_default=…"
    if (field.db_index or field.unique) and _table(op) not in _SMALL:
        return f"{name}: its index is built while the table is locked: db_index=False, then AddIndexOnline"
    return None


def _of_change(op: Any, migration: Any) -> str | None:
    return (
        f"{op.model_name}.{op.name}: may rewrite or read the whole table under a lock; say in 'online' why it does not"
    )


def _of_rename(op: Any, migration: Any) -> str | None:
    return f"{op.describe()}: older servers still read the old name: add, copy, and remove a version later"


def _of_removal(op: Any, migration: Any) -> str | None:
    return f"{op.describe()}: older servers still read it: say in 'online' which version stopped reading it"


def _of_code(op: Any, migration: Any) -> str | None:
    return f"{type(op).__name__}: work in batches, not atomic, and say in 'online' how many rows it locks at once"


_RULES: tuple[tuple[Any, Any], ...] = (
    (migrations.AddIndex, _of_index),
    (migrations.AddConstraint, _of_constraint),
    (migrations.AddField, _of_column),
    (migrations.AlterField, _of_change),
    (_RENAMES, _of_rename),
    (_REMOVALS, _of_removal),
    (_OWN_CODE, _of_code),
)


def ours() -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield all migrations of our apps that are not an app's first."""
    for key, migration in MigrationLoader(None).disk_migrations.items():
        if key[0] in _OURS and not migration.initial:
            yield key, migration


_FOUND = dict(ours())


@pytest.mark.parametrize("key", sorted(_FOUND), ids="/".join)
def test_servers_can_go_on_during_a_migration(key):
    if key not in BEFORE_THE_FIRST_RELEASE:
        assert complaints(_FOUND[key]) == []


def test_the_exceptions_exist_and_need_to_be():
    assert {key for key in BEFORE_THE_FIRST_RELEASE if complaints(_FOUND[key])} == BEFORE_THE_FIRST_RELEASE


def _migration(*operations: Any, **values: Any) -> Any:
    return type("Migration", (migrations.Migration,), {"operations": list(operations), **values})(
        "0099_new", "registry"
    )


_INDEX = models.Index(fields=["at"], name="by_time")
_CHECK = models.CheckConstraint(condition=models.Q(number__gte=0), name="not_negative")
_UNSAFE = {
    "AddIndexOnline": migrations.AddIndex("activation", _INDEX),
    "to itself": AddIndexOnline("activation", _INDEX),
    "all rows are read": migrations.AddConstraint("activation", _CHECK),
    "insert rows without it": migrations.AddField("tenant", "size", models.IntegerField(default=0)),
    "db_index=False": migrations.AddField("activation", "job", models.UUIDField(null=True, db_index=True)),
    "rewrite": migrations.AlterField("activation", "number", models.BigIntegerField(null=True)),
    "old name": migrations.RenameField("activation", "number", "version"),
    "still read it": migrations.RemoveField("activation", "number"),
    "RunPython": migrations.RunPython(migrations.RunPython.noop),
    "RunSQL": migrations.RunSQL("UPDATE modelpool_activation SET number = 1"),
}


@pytest.mark.parametrize(("words", "operation"), _UNSAFE.items(), ids=list(_UNSAFE))
def test_an_unsafe_operation_is_refused_unless_a_note_says_why(words, operation):
    assert words in "".join(complaints(_migration(operation)))
    assert complaints(_migration(operation, online="  ")) != []
    assert complaints(_migration(operation, online="Ten rows at once, in transactions of their own.")) == []


def test_what_holds_nobody_up_needs_no_note():
    new = migrations.CreateModel("Fresh", [("id", models.BigAutoField(primary_key=True))])
    safe = [
        migrations.AddField("activation", "note", models.TextField(db_default="")),
        migrations.AddField("activation", "until", models.DateTimeField(null=True)),
        migrations.AddIndex("tenant", _INDEX),
        new,
        migrations.AddIndex("fresh", _INDEX),
    ]
    assert complaints(_migration(*safe)) == []
    assert complaints(_migration(AddIndexOnline("activation", _INDEX), atomic=False)) == []
