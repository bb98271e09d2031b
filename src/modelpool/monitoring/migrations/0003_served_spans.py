"""What versions were asked, by the minute and the hour."""

import uuid

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0002_traffic_figures"),
        ("registry", "0005_versions_in_quarantine"),
        ("tenants", "0004_dataset_days"),
    ]

    operations = [
        migrations.CreateModel(
            name="ServedSpan",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("source", models.UUIDField()),
                ("seconds", models.IntegerField()),
                ("start", models.DateTimeField()),
                ("version", models.IntegerField()),
                ("requests", models.BigIntegerField(default=0)),
                ("refused", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("time_00", models.BigIntegerField(default=0)),
                ("time_01", models.BigIntegerField(default=0)),
                ("time_02", models.BigIntegerField(default=0)),
                ("time_03", models.BigIntegerField(default=0)),
                ("time_04", models.BigIntegerField(default=0)),
                ("time_05", models.BigIntegerField(default=0)),
                ("time_06", models.BigIntegerField(default=0)),
                ("time_07", models.BigIntegerField(default=0)),
                ("time_08", models.BigIntegerField(default=0)),
                ("time_09", models.BigIntegerField(default=0)),
                ("time_10", models.BigIntegerField(default=0)),
                ("time_11", models.BigIntegerField(default=0)),
                ("time_12", models.BigIntegerField(default=0)),
                ("time_13", models.BigIntegerField(default=0)),
                ("time_14", models.BigIntegerField(default=0)),
                ("time_15", models.BigIntegerField(default=0)),
                ("time_16", models.BigIntegerField(default=0)),
                ("time_17", models.BigIntegerField(default=0)),
                (
                    "model",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="registry.registeredmodel",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "db_table": "modelpool_served_span",
                "abstract": False,
                "base_manager_name": "unscoped",
                "indexes": [models.Index(fields=["seconds", "start"], name="served_span_by_start")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "seconds", "start", "model", "version", "source"),
                        name="served_span_once_per_source",
                    )
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
    ]
