"""What is done with a dataset once it is there: rows shown, the file sent back, kept until a date."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from modelpool.storage.models import Artifact
from modelpool.tenants.models import Tenant
from modelpool.training.models import Dataset, TrainingJob
from modelpool.training.retention import delete_expired
from tests.api.v1.wire import Wire, problem
from tests.api.v1.world import World

pytestmark = pytest.mark.django_db
CSV = b"x,y\n1,2\n3,4\n"


def upload(scientist: Wire) -> str:
    return f"/datasets/{scientist.post('/datasets?filename=a.csv', CSV, content_type='text/csv').json()['id']}"


def test_the_original_comes_back_as_it_was(scientist: Wire):
    at = upload(scientist)
    answer = scientist.get(f"{at}/download")
    assert b"".join(answer.streaming_content) == CSV  # type: ignore[attr-defined]
    assert "a.csv" in answer["Content-Disposition"]
    assert problem(scientist.get(f"{at}/download?artifact=table"))["code"] == "not_found"
    assert scientist.get(f"{at}/download?artifact=x").status_code == 422


def test_rows_are_shown_once_they_were_read(scientist: Wire, tenant: Tenant):
    at = upload(scientist)
    assert scientist.get(f"{at}/preview").status_code == 409
    Dataset.objects.for_tenant(tenant).update(preview={"columns": ["x"], "rows": [["1"], [None]]})
    assert scientist.get(f"{at}/preview?rows=1").json() == {"columns": ["x"], "rows": [["1"]]}
    for wrong in ("0", "51", "x", "-1"):
        assert scientist.get(f"{at}/preview?rows={wrong}").status_code == 422


def test_a_date_is_set_and_taken_away(scientist: Wire):
    at = upload(scientist)
    changed = scientist("PATCH", at, {"name": "Sales", "expires_at": "2999-01-01T00:00:00Z"}).json()
    assert (changed["name"], changed["expires_at"][:4]) == ("Sales", "2999")
    assert scientist("PATCH", at, {"name": "Other"}).json()["expires_at"] == changed["expires_at"]
    assert scientist("PATCH", at, {"expires_at": None}).json()["expires_at"] is None
    for wrong in ("2001-01-01T00:00:00Z", "2999-01-01T00:00:00", "soon"):
        assert scientist("PATCH", at, {"expires_at": wrong}).status_code == 422


def test_what_is_due_is_deleted_but_not_what_a_job_needs(scientist: Wire, world: World, tenant: Tenant):
    upload(scientist)
    Dataset.objects.for_tenant(tenant).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert delete_expired() == 1
    assert list(Dataset.objects.for_tenant(tenant)) == [world.dataset]
    TrainingJob.objects.for_tenant(tenant).update(state=TrainingJob.State.SUCCEEDED)
    assert delete_expired() == 1
    assert not Artifact.objects.for_tenant(tenant).filter(state="ready", media_type="text/csv").exists()
