"""Where a copy of another tenant's version comes from."""

from __future__ import annotations

from django.db import migrations

from modelpool.tenants.fields import JSONField


class Migration(migrations.Migration):
    """Add the column, empty."""

    dependencies = [("registry", "0005_versions_in_quarantine")]

    operations = [
        migrations.AddField(
            "modelversion",
            "copied_from",
            JSONField(null=True, blank=True, help_text="Of a copy; see modelpool.registry.copying.Origin."),
        ),
    ]
