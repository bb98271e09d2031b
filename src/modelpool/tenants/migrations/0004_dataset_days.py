"""For how many days a tenant's datasets are kept; empty is the installation's."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0003_rate_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="dataset_days",
            field=models.IntegerField(blank=True, help_text="How long new datasets are kept; 0: for good.", null=True),
        ),
    ]
