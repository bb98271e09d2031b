"""Operators look at the newest tenants first, of ten thousand."""

from __future__ import annotations

from django.db import migrations, models

from modelpool.tenants.online import AddIndexOnline


class Migration(migrations.Migration):
    """Index the order."""

    atomic = False

    dependencies = [("tenants", "0004_dataset_days")]

    operations = [
        AddIndexOnline("tenant", models.Index(fields=["created_at", "id"], name="tenant_by_creation")),
    ]
