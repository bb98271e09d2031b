"""The history of activations becomes a stack that rolling back can walk down."""

from django.db import migrations, models

_NUMBER = """
UPDATE modelpool_activation SET (sequence, below) = (
  SELECT count(*), nullif(count(*) - 1, 0) FROM modelpool_activation AS other
  WHERE other.model_id = modelpool_activation.model_id
  AND (other.at, other.id) <= (modelpool_activation.at, modelpool_activation.id))
"""


class Migration(migrations.Migration):
    """Number the entries and say what lies below each."""

    dependencies = [("registry", "0001_initial")]

    operations = [
        migrations.AddField("activation", "sequence", models.IntegerField(default=0), preserve_default=False),
        migrations.AddField("activation", "below", models.IntegerField(null=True)),
        migrations.RunSQL(_NUMBER, migrations.RunSQL.noop),
        migrations.AddConstraint(
            "activation", models.UniqueConstraint(fields=("model", "sequence"), name="activation_once_per_sequence")
        ),
    ]
