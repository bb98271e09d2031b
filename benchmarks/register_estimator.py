"""Run inside an installation: register the forest as the estimator it is, as a worker would where nothing compiles.

``register_estimator.py NAME`` prints a line of JSON: a key, and a row of the table. What answers is the file in
skops' format, by a process of its own, and requests are batched.
"""

from __future__ import annotations

import json
import sys

import django
from register_model import fit, signature_of

from modelpool.core.formats.registry import FORMATS


def main() -> None:
    """Do it, for the tenant ``bench``."""
    name = sys.argv[1]
    estimator, data = fit("forest")
    file = FORMATS["sklearn"].save(estimator)
    django.setup()
    from modelpool.registry import services as registry  # these need Django's apps
    from modelpool.registry.signing import worker_key
    from modelpool.storage import services as storage
    from modelpool.tenants import services as tenants
    from modelpool.tenants.actors import SYSTEM
    from modelpool.tenants.models import Tenant

    tenant = Tenant.objects.filter(name="bench").first() or tenants.create_tenant("bench", actor=SYSTEM)
    model = registry.get_or_create_model(tenant, name=name, actor=SYSTEM)
    artifact = storage.store_artifact(tenant, chunks=[file], store="default", filename="model.skops")
    new = registry.NewVersion(
        format="sklearn",
        serving_format="sklearn",
        trust="trained",
        artifact=artifact,
        signature=signature_of(data),
    )
    registry.register_version(model, new=new, actor=SYSTEM, activate="always", key=worker_key())
    secret = tenants.create_key(tenant=tenant, role="predictor", actor=SYSTEM)[1]
    print(json.dumps({"key": secret, "row": data.iloc[0].tolist()}))


if __name__ == "__main__":
    main()
