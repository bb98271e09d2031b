"""What stores failed last, on which node."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("storage", "0004_resumable_uploads"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoreTrouble",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("node", models.CharField(max_length=255)),
                ("store", models.CharField(max_length=63)),
                ("failed_at", models.DateTimeField()),
                ("detail", models.CharField(max_length=500)),
                ("worked_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "modelpool_store_trouble",
                "constraints": [
                    models.UniqueConstraint(fields=("node", "store"), name="last_trouble_of_a_store_on_a_node")
                ],
            },
        ),
    ]
