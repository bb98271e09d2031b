"""Operators look often for what is in quarantine, which is next to nothing of all versions."""

from __future__ import annotations

from django.db import migrations, models

from modelpool.tenants.online import AddIndexOnline


class Migration(migrations.Migration):
    """Index those versions alone."""

    atomic = False

    dependencies = [("registry", "0004_traffic")]

    operations = [
        AddIndexOnline(
            "modelversion",
            models.Index(
                fields=["tenant", "quarantined_at"],
                condition=models.Q(quarantined_at__isnull=False),
                name="version_in_quarantine",
            ),
        ),
    ]
