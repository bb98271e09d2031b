"""The tenant ``default``, and triggers that make the audit trail append-only."""

from __future__ import annotations

from typing import Any

from django.db import migrations

_SQLITE = """
CREATE TRIGGER modelpool_audit_no_{verb} BEFORE {verb} ON modelpool_audit_event
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
_POSTGRES_FUNCTION = """
CREATE FUNCTION modelpool_audit_guard() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$
"""
_POSTGRES = """
CREATE TRIGGER modelpool_audit_no_{verb} BEFORE {verb} ON modelpool_audit_event
FOR EACH ROW EXECUTE FUNCTION modelpool_audit_guard()
"""
_VERBS = ("UPDATE", "DELETE")


def _create_default_tenant(apps: Any, schema_editor: Any) -> None:
    apps.get_model("tenants", "Tenant").objects.using(schema_editor.connection.alias).get_or_create(name="default")


def _guard_audit(apps: Any, schema_editor: Any) -> None:
    vendor = schema_editor.connection.vendor
    if vendor == "postgresql":
        schema_editor.execute(_POSTGRES_FUNCTION)
    for verb in _VERBS:
        schema_editor.execute((_POSTGRES if vendor == "postgresql" else _SQLITE).format(verb=verb))


def _unguard_audit(apps: Any, schema_editor: Any) -> None:
    on_table = " ON modelpool_audit_event" if schema_editor.connection.vendor == "postgresql" else ""
    for verb in _VERBS:
        schema_editor.execute(f"DROP TRIGGER modelpool_audit_no_{verb}{on_table}")
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION modelpool_audit_guard()")


class Migration(migrations.Migration):
    """First rows and the guard of the audit trail."""

    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.RunPython(_create_default_tenant, migrations.RunPython.noop),
        migrations.RunPython(_guard_audit, _unguard_audit),
    ]
