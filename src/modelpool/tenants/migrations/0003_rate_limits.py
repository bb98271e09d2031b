"""Rate limits of tenants; empty is the installation's."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_first_rows_and_audit_guard"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="burst",
            field=models.IntegerField(blank=True, help_text="Predictions at once, after a rest.", null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="predictions_per_second",
            field=models.FloatField(blank=True, null=True),
        ),
    ]
