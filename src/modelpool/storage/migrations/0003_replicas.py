import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.manager
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("storage", "0002_upload_liveness_and_store_marks"),
        ("tenants", "0003_rate_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name="artifact",
            name="object_id",
            field=models.UUIDField(
                db_index=True,
                editable=False,
                help_text="What the object is called in its store; empty for the artifact's own id.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Replica",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("store", models.CharField(max_length=63)),
                (
                    "state",
                    models.CharField(
                        choices=[("copying", "Copying"), ("ready", "Ready"), ("leaving", "Leaving")],
                        default="copying",
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "touched_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        help_text="When its copying last moved, or it was left; the database's clock.",
                    ),
                ),
                (
                    "artifact",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="storage.artifact"
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
                "db_table": "modelpool_replica",
                "abstract": False,
                "base_manager_name": "unscoped",
                "indexes": [models.Index(fields=["state", "touched_at"], name="replica_by_state")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ["copying", "ready"])),
                        fields=("artifact", "store"),
                        name="one_replica_in_a_store",
                    )
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
    ]
