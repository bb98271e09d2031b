"""Versions get a signed manifest, and may be put in quarantine."""

from __future__ import annotations

from django.db import migrations, models


def _text(length: int, *, help_text: str = "") -> models.CharField[str, str]:
    """A column that older code, which does not know of it, leaves empty."""
    return models.CharField(max_length=length, blank=True, default="", db_default="", help_text=help_text)


class Migration(migrations.Migration):
    """Add columns only: older processes go on with the table."""

    dependencies = [("registry", "0002_activation_stack")]

    operations = [
        migrations.AddField(
            "modelversion",
            "manifest",
            models.BinaryField(null=True, help_text="What its maker signed; see modelpool.core.manifests."),
        ),
        migrations.AddField("modelversion", "manifest_signature", models.BinaryField(null=True)),
        migrations.AddField("modelversion", "manifest_key", _text(32, help_text="Id of the key.")),
        migrations.AddField("modelversion", "quarantined_at", models.DateTimeField(null=True, blank=True)),
        migrations.AddField("modelversion", "quarantine_code", _text(16)),
        migrations.AddField("modelversion", "quarantine_reason", _text(500)),
        migrations.AddField("modelversion", "quarantined_by", _text(200)),
    ]
