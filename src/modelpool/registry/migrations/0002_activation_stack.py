"""The history of activations becomes a stack that rolling back can walk down."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Number the entries and say what lies below each."""

    dependencies = [("registry", "0001_initial")]

    operations = [
        migrations.AddField("activation", "sequence", models.IntegerField(default=0), preserve_default=False),
        migrations.AddField("activation", "below", models.IntegerField(null=True)),
        migrations.AddConstraint(
            "activation", models.UniqueConstraint(fields=("model", "sequence"), name="activation_once_per_sequence")
        ),
    ]
