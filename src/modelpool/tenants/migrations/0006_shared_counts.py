"""What processes count together, such as guesses of a password: Django's cache in the database."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Make its table."""

    dependencies = [("tenants", "0005_tenants_by_creation")]

    operations = [
        migrations.CreateModel(
            name="CacheEntry",
            fields=[
                ("cache_key", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("value", models.TextField()),
                ("expires", models.DateTimeField(db_index=True)),
            ],
            options={"db_table": "modelpool_cache"},
        ),
    ]
