"""Figures of versions that answer side by side, by the hour."""

import uuid

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0001_initial"),
        ("registry", "0004_traffic"),
        ("tenants", "0003_rate_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="TrafficFigures",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("rule", models.UUIDField()),
                ("hour", models.DateTimeField()),
                ("version", models.IntegerField()),
                ("against", models.IntegerField(default=0)),
                ("requests", models.BigIntegerField(default=0)),
                ("refused", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("dropped", models.BigIntegerField(default=0)),
                ("rows", models.BigIntegerField(default=0)),
                ("differing", models.BigIntegerField(default=0)),
                ("values", models.BigIntegerField(default=0)),
                ("difference_sum", models.FloatField(default=0.0)),
                ("difference_max", models.FloatField(default=0.0)),
                ("latency", models.JSONField(default=dict)),
                ("main_latency", models.JSONField(default=dict)),
                (
                    "model",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
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
                "db_table": "modelpool_traffic_figures",
                "abstract": False,
                "base_manager_name": "unscoped",
                "indexes": [models.Index(fields=["hour"], name="traffic_figures_by_hour")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("model", "rule", "hour", "version", "against"), name="traffic_figures_once_per_hour"
                    )
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
    ]
