"""Models get a rule of how their traffic is divided among versions."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add a column only: older processes go on with the table, and send everything to the active version."""

    dependencies = [("registry", "0003_manifests_and_quarantine")]

    operations = [
        migrations.AddField(
            "registeredmodel",
            "traffic",
            models.JSONField(null=True, blank=True, help_text="A rule; see modelpool.registry.traffic_rules."),
        ),
    ]
