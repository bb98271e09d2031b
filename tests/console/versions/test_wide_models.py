"""Models with very many inputs: their form is taken as long as somebody may fill it in, then rows are pasted."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from modelpool.console.versions.fields import MOST_FIELDS
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.registry.services import NewVersion, register_version
from modelpool.storage.services import store_artifact
from tests.console.versions.conftest import address, open_page

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def publish_wide(pool, actor):
    """``publish_wide(n)`` registers a version with that many inputs."""

    def do(n_inputs):
        inputs = tuple(TensorSpec(f"f{at}", "float64") for at in range(n_inputs))
        signature = ModelSignature(inputs=inputs, outputs=(TensorSpec("predict", "float64"),))
        artifact = store_artifact(pool.tenant, chunks=[b"no model"], store="default", filename="wide.onnx")
        new = NewVersion(
            format="onnx", serving_format="onnx", trust="uploaded-data", artifact=artifact, signature=signature
        )
        return register_version(pool.model, new=new, actor=actor, activate="never")

    return do


def test_as_many_inputs_as_a_form_has_are_taken(sign_in, pool, publish_wide):
    version, client = publish_wide(MOST_FIELDS), sign_in("predictor", pool.tenant)
    fields = open_page(client, version).context["trial"].fields
    assert len(fields) == MOST_FIELDS
    typed = {field.name: "0.5" for field in fields}
    response = client.post(address("version-try", version), {"mode": "row", "method": "predict", **typed})
    assert response.status_code == 200
    assert {field.value for field in response.context["trial"].fields} == {"0.5"}


def test_more_of_them_are_pasted(sign_in, pool, publish_wide):
    version = publish_wide(MOST_FIELDS + 1)
    response = open_page(sign_in("predictor", pool.tenant), version)
    trial = response.context["trial"]
    assert (trial.fields, trial.mode) == ([], "json")
    assert 'id="panel-row"' not in response.text
    (row,) = json.loads(trial.pasted["json"])
    assert len(row) == MOST_FIELDS + 1
    assert "rows.json" in trial.snippets[0].text


def test_as_many_versions_as_can_be_deleted_at_once_can_be_ticked(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    numbers = [str(number) for number in range(2, 202)]
    address_of_deletion = reverse("console:model-delete-versions", args=[pool.tenant.name, pool.model.name])
    response = client.post(address_of_deletion, {"v": numbers, "csrfmiddlewaretoken": "x"})
    assert response.status_code == 302
    pool.versions[1].refresh_from_db()
    assert pool.versions[1].state == "deleted"
