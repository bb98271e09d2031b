"""Whether a version can serve at all, asked before anything is sent to it: loaded, and its own example answered."""

from __future__ import annotations

from collections.abc import Iterable

from modelpool.core.errors import ArtifactCorrupt, Invalid, ModelUnavailable, VersionCannotServe
from modelpool.inference.current import data_plane_in_use
from modelpool.registry.models import ModelVersion, RegisteredModel


def check_servable(model: RegisteredModel, *, numbers: Iterable[int]) -> None:
    """Raise :class:`VersionCannotServe` with the reason for the first version that cannot.

    It stays loaded in this process, and may take as long as ``serving.load_timeout``. Versions that are not ready, or
    in quarantine, are left to whoever refuses those; so is everything where this process serves no predictions.
    """
    plane = data_plane_in_use()
    if plane is None:
        return
    versions = ModelVersion.objects.for_tenant(model.tenant_id).filter(model=model, number__in=list(numbers))
    ready = versions.filter(state=ModelVersion.State.READY, quarantined_at__isnull=True)
    for number in ready.order_by("number").values_list("number", flat=True):
        try:
            plane.check_version((model.tenant.name, model.name, number))
        except (Invalid, ModelUnavailable, ArtifactCorrupt) as error:
            raise VersionCannotServe(model.name, number, error.detail) from error
