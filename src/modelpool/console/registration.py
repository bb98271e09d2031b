"""Which tables have pages made by unfold."""

from __future__ import annotations

from modelpool.console.datasets import DatasetAdmin
from modelpool.console.jobs import JobAdmin
from modelpool.console.site import site
from modelpool.console.versions import VersionAdmin
from modelpool.registry.models import ModelVersion
from modelpool.training.models import Dataset, TrainingJob

site.register(ModelVersion, VersionAdmin)
site.register(TrainingJob, JobAdmin)
site.register(Dataset, DatasetAdmin)
