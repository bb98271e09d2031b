from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from modelpool.api.v1.routes.job_events import follow
from modelpool.http import event_stream
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.tenants.services import keys_of, revoke_key
from modelpool.training.models import Dataset, JobLogLine, TrainingJob
from tests.api.v1.wire import Wire, body_of, problem
from tests.api.v1.world import World

pytestmark = pytest.mark.django_db

ROWS = {"columns": ["x", "y"], "rows": [[1, 2], [2, 4]]}
REQUEST = {"trainer": "line", "target": "y", "params": {"alpha": 0.5}, "activate": "always", "tags": {"a": "b"}}


def test_training_on_rows_makes_model_and_job(scientist: Wire, world: World, tenant: Tenant):
    response = scientist.post("/models/fresh/train", {**REQUEST, "data": ROWS})
    assert response.status_code == 202
    job = response.json()
    assert response["Location"] == f"/api/v1/tenants/acme/jobs/{job['id']}"
    contract = {
        "id", "tenant", "model", "state", "stage", "progress", "metrics", "version", "error", "attempt", "created_at",
        "started_at", "finished_at",
    }  # fmt: skip
    assert contract <= job.keys()
    assert (job["model"], job["state"], job["progress"], job["version"], job["error"]) == (
        "fresh",
        "queued",
        0,
        None,
        None,
    )
    assert (job["params"], job["activate"], job["tags"]) == ({"alpha": 0.5}, "always", {"a": "b"})
    assert scientist.get(response["Location"]).json() == job
    assert RegisteredModel.objects.for_tenant(tenant).filter(name="fresh").exists()


def test_a_target_that_the_rows_do_not_have_is_refused_at_once(scientist: Wire, world: World, tenant: Tenant):
    before = Dataset.objects.for_tenant(tenant).count()
    answer = problem(scientist.post("/models/fresh/train", {**REQUEST, "target": "z", "data": ROWS}))
    assert (answer["status"], answer["errors"][0]["field"]) == (422, "target")
    assert "'x', 'y'" in answer["detail"]
    assert Dataset.objects.for_tenant(tenant).count() == before
    assert not RegisteredModel.objects.for_tenant(tenant).filter(name="fresh").exists()


def test_training_on_a_stored_dataset(scientist: Wire, world: World):
    job = scientist.post("/models/churn/train", {**REQUEST, "dataset": str(world.dataset.pk)}).json()
    assert job["dataset"] == str(world.dataset.pk)


def test_training_on_a_file(scientist: Wire, world: World, tenant: Tenant):
    file = SimpleUploadedFile("table.csv", b"x,y\n1,2\n", "text/csv")
    response = scientist.send_form("/models/churn/train", {"data": file, "request": json.dumps(REQUEST)})
    assert response.status_code == 202
    assert Dataset.objects.for_tenant(tenant).get(pk=response.json()["dataset"]).format == "csv"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"trainer": "magic"}, 422, "trainer"),
        ({"trainer": None}, 422, "trainer"),
        ({"params": {"alpha": -1}}, 422, "params.alpha"),
        ({"params": {"beta": 1}}, 422, "params.beta"),
        ({"params": []}, 422, "params"),
        ({"activate": "maybe"}, 422, "activate"),
        ({"timeout_s": -1}, 422, "timeout_s"),
        ({"timeout_s": 1e12}, 422, "timeout_s"),
        ({"memory_limit_bytes": 2**62}, 422, "memory_limit_bytes"),
        ({"target": "x" * 300}, 422, "target"),
        ({"tags": {"a": 1}}, 422, "tags"),
        ({"data": None}, 422, "data"),
        ({"dataset": "00000000-0000-0000-0000-000000000000"}, 422, "dataset"),
        ({"data": None, "dataset": "not-an-id"}, 422, "dataset"),
        ({"data": {"columns": ["x", "x"], "rows": [[1, 2]]}}, 422, "data.columns"),
        ({"data": {"columns": ["x"], "rows": [[{}]]}}, 422, "data.rows"),
        ({"data": {"columns": ["x"]}}, 422, "data.rows"),
        ({"surprise": 1}, 422, "surprise"),
    ],
)
def test_wrong_requests_are_named_and_leave_nothing(
    scientist: Wire, world: World, tenant: Tenant, change: dict, status: int, field: str
):
    before = (Dataset.objects.for_tenant(tenant).count(), TrainingJob.objects.for_tenant(tenant).count())
    response = scientist.post("/models/fresh/train", {**REQUEST, "data": ROWS, **change})
    assert response.status_code == status
    assert problem(response)["errors"][0]["field"].startswith(field)
    assert (Dataset.objects.for_tenant(tenant).count(), TrainingJob.objects.for_tenant(tenant).count()) == before
    assert not RegisteredModel.objects.for_tenant(tenant).filter(name="fresh").exists()


def test_a_dataset_that_is_not_there_is_404(scientist: Wire, world: World, other_world: World):
    for missing in ("00000000-0000-0000-0000-000000000000", str(other_world.dataset.pk)):
        response = scientist.post("/models/churn/train", {**REQUEST, "dataset": missing})
        assert (response.status_code, problem(response)["code"]) == (404, "dataset_not_found")


def test_wrong_forms_leave_nothing(scientist: Wire, world: World, tenant: Tenant):
    def send(request: Any, name: str = "a.csv", content_type: str = "text/csv") -> Any:
        file = SimpleUploadedFile(name, b"x,y\n1,2\n", content_type)
        text = request if isinstance(request, str) else json.dumps(request)
        return scientist.send_form("/models/fresh/train", {"data": file, "request": text})

    before = Dataset.objects.for_tenant(tenant).count()
    assert send("{").status_code == 400
    assert problem(send({**REQUEST, "x": 1}))["errors"][0]["field"] == "request.x"
    assert send({**REQUEST, "dataset": str(world.dataset.pk)}).status_code == 422
    assert send({**REQUEST, "trainer": "magic"}).status_code == 422
    assert send(REQUEST, "a.docx", "application/octet-stream").status_code == 415
    assert problem(scientist.post("/models/Bad!/train", {**REQUEST, "data": ROWS}))["code"] == "invalid_name"
    assert Dataset.objects.for_tenant(tenant).count() == before


def test_a_repeated_training_is_one_job(scientist: Wire, world: World, tenant: Tenant):
    def send() -> Any:
        file = SimpleUploadedFile("table.csv", b"x,y\n1,2\n", "text/csv")
        parts = {"data": file, "request": json.dumps(REQUEST)}
        return scientist.send_form("/models/churn/train", parts, headers={"Idempotency-Key": "once"})

    before = TrainingJob.objects.for_tenant(tenant).count()
    first, second = send(), send()
    assert first.content == second.content
    assert (first.status_code, second.status_code, second["Location"]) == (202, 202, first["Location"])
    assert TrainingJob.objects.for_tenant(tenant).count() == before + 1


def test_jobs_are_listed_and_filtered(viewer: Wire, scientist: Wire, world: World):
    scientist.post("/models/fresh/train", {**REQUEST, "data": ROWS})
    assert [job["model"] for job in viewer.get("/jobs").json()["results"]] == ["fresh", "churn"]
    assert [job["model"] for job in viewer.get("/jobs?model=churn&state=queued").json()["results"]] == ["churn"]
    assert viewer.get("/jobs?state=running").json()["results"] == []
    assert viewer.get("/jobs?state=lost").status_code == 422


def test_cancelling(scientist: Wire, world: World):
    assert scientist.post(f"/jobs/{world.job.pk}/cancel").json()["state"] == "cancelled"
    assert problem(scientist.post(f"/jobs/{world.job.pk}/cancel"))["code"] == "job_finished"


def test_the_log_as_text_and_as_json(viewer: Wire, world: World):
    path = f"/jobs/{world.job.pk}/log"
    plain = viewer.get(path)
    assert plain["Content-Type"] == "text/plain; charset=utf-8"
    assert plain.content.endswith(b" hello\n")
    document = viewer.get(path, headers={"Accept": "application/json"}).json()
    assert [line["text"] for line in document["lines"]] == ["hello"]
    assert document["is_complete"] is False
    assert plain["X-Log-After"] == str(document["after"])
    assert viewer.get(f"{path}?after={document['after']}").content == b""
    for query in ("after=-1", "after=x", "after=" + "9" * 30, "limit=999999"):
        assert viewer.get(f"{path}?{query}").status_code == 422


def events_of(body: bytes) -> list[tuple[str, Any]]:
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_events_tell_a_finished_job_to_its_end(viewer: Wire, scientist: Wire, world: World):
    scientist.post(f"/jobs/{world.job.pk}/cancel")
    response = viewer.get(f"/jobs/{world.job.pk}/events")
    assert response["Content-Type"] == "text/event-stream"
    events = events_of(body_of(response))
    assert [name for name, _ in events] == ["log", "job", "end"]
    assert events[0][1]["text"] == "hello"
    assert events[1][1]["state"] == "cancelled"
    last = events[0][1]["id"]
    again = viewer.get(f"/jobs/{world.job.pk}/events", headers={"Last-Event-ID": str(last)})
    assert [name for name, _ in events_of(body_of(again))] == ["job", "end"]


def test_events_show_changes_as_they_happen_and_end_in_time(tenant: Tenant, world: World):
    stream = follow(tenant, world.job.pk, after=0, duration_s=0.2)
    assert next(stream).startswith(b"retry: ")
    assert b"hello" in next(stream)
    assert b'"state":"queued"' in next(stream)
    JobLogLine.objects.create(job=world.job, attempt=1, text="more")
    assert b"more" in next(stream)
    assert list(stream) == []


def test_events_of_a_job_that_is_deleted_end(tenant: Tenant, world: World):
    stream = follow(tenant, world.job.pk, after=0)
    next(stream)
    world.job.delete()
    assert events_of(b"".join(stream)) == [("end", {})]


def test_a_revoked_keys_stream_ends(viewer: Wire, tenant: Tenant, world: World, actor: Actor):
    response = viewer.get(f"/jobs/{world.job.pk}/events")
    stream = iter(response.streaming_content)
    seen = [next(stream) for _ in range(3)]
    assert b"event: job" in seen[-1]
    for key in keys_of(tenant):
        revoke_key(key.pk, tenant=tenant, actor=actor)
    JobLogLine.objects.create(job=world.job, attempt=1, text="secret")
    assert list(stream) == []


def test_streams_are_counted(tenant: Tenant, viewer: Wire, world: World):
    def nothing() -> Iterator[bytes]:
        yield b""

    streams = [
        event_stream.EventStream(nothing(), tenant_id=tenant.pk) for _ in range(event_stream.MAX_STREAMS_PER_TENANT)
    ]
    response = viewer.get(f"/jobs/{world.job.pk}/events")
    assert (response.status_code, problem(response)["code"]) == (429, "quota_exceeded")
    assert response["Retry-After"]
    assert viewer("HEAD", f"/jobs/{world.job.pk}/events").status_code == 200
    for stream in streams:
        stream.close()
        stream.close()
    event_stream.EventStream(nothing(), tenant_id=tenant.pk).close()


def test_trainers_are_shown_to_everybody_with_a_key(viewer: Wire, world: World):
    listed = viewer.get("/api/v1/trainers").json()["results"]
    line = next(row for row in listed if row["name"] == "line")
    assert line["params_schema"]["properties"]["alpha"]["minimum"] == 0
