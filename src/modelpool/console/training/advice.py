"""What to do about a job that failed."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

_ADVICE: dict[str, Any] = {
    "bad_training_data": _("The table does not suit the trainer. Choose another target, trainer or table."),
    "out_of_memory": _("Train on fewer rows or columns, or choose a smaller model, such as fewer or flatter trees."),
    "timeout": _("Choose fewer rounds or rows, or ask the operator for a longer time limit."),
    "trainer_failed": _("The trainer's own code ended with an error; the last lines of the log say where."),
    "trainer_crashed": _("The training process died; the last lines of the log say what it was doing."),
    "dataset_not_found": _("The dataset is gone. Upload the table again."),
    "storage_quota_exceeded": _("There is no room for the model. Delete versions or datasets, or ask for more room."),
    "store_unavailable": _("The store could not be reached. Try again; if it stays so, tell the operator."),
    "invalid": _("A setting does not suit this table; the text above names it. Change it and train again."),
}
_ELSE = _("Change what the text above names and train again; the log says more.")


def advice_for(code: str) -> Any:
    """Return a sentence for the code of a job's error."""
    return _ADVICE.get(code, _ELSE)
