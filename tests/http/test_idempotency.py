from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections, transaction
from django.utils import timezone

from modelpool.http import idempotency
from modelpool.http.idempotency import Answer, Attempt, StillRunning, begin
from modelpool.http.models import IdempotencyRecord
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.models import APIKey, Tenant
from modelpool.training.models import Dataset
from tests.api.v1.wire import Wire, problem

pytestmark = pytest.mark.django_db
ONCE = {"Idempotency-Key": "first"}


@pytest.fixture
def scientist(tenant: Tenant, make_key: Callable[..., str]) -> Wire:
    """A client with a scientist's key."""
    return Wire(make_key("scientist"), base="/api/v1/tenants/acme")


@pytest.fixture
def admin(tenant: Tenant, make_key: Callable[..., str]) -> Wire:
    """A client with an admin's key."""
    return Wire(make_key("admin"), base="/api/v1/tenants/acme")


def test_the_same_request_has_one_effect_and_one_answer(scientist: Wire, tenant: Tenant):
    first, second = (scientist.post("/models", {"name": "churn"}, headers=ONCE) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert first["Location"] == second["Location"] == "/api/v1/tenants/acme/models/churn"
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert scientist.post("/models", {"name": "churn"}).status_code == 409


def test_another_request_with_the_key_is_refused(scientist: Wire, tenant: Tenant):
    assert scientist.post("/models", {"name": "a"}, headers=ONCE).status_code == 201
    for path, body in (("/models", {"name": "b"}), ("/models?x=1", {"name": "a"}), ("/models/a/rollback", None)):
        response = scientist.post(path, body, headers=ONCE)
        assert (response.status_code, problem(response)["code"]) == (422, "idempotency_key_reused")
    assert [model.name for model in RegisteredModel.objects.for_tenant(tenant)] == ["a"]


def test_credentials_do_not_see_each_others_answers(scientist: Wire, admin: Wire):
    assert scientist.post("/models", {"name": "a"}, headers=ONCE).status_code == 201
    assert admin.post("/models", {"name": "b"}, headers=ONCE).status_code == 201


def test_an_error_is_not_kept(scientist: Wire, admin: Wire):
    assert scientist.post("/models", {"name": "Not A Name"}, headers=ONCE).status_code == 422
    assert scientist.post("/models", {"name": "a"}, headers=ONCE).status_code == 201


def test_a_new_keys_secret_comes_again_and_is_not_in_the_database(admin: Wire, tenant: Tenant):
    first, second = (admin.post("/keys", {"role": "viewer"}, headers=ONCE).json() for _ in range(2))
    assert first == second
    assert Wire(first["key"]).get("/me").json()["role"] == "viewer"
    assert APIKey.objects.for_tenant(tenant).filter(role="viewer").count() == 1
    kept = IdempotencyRecord.objects.get()
    assert first["key"].encode() not in bytes(kept.answer)
    assert "first" not in str(kept.__dict__)


@pytest.mark.parametrize("key", ["", " ", "é", "a" * 256])
def test_a_key_that_is_none_is_refused(scientist: Wire, key: str):
    response = scientist.post("/models", {"name": "a"}, headers={"Idempotency-Key": key})
    assert (response.status_code, problem(response)["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_a_raw_file_counts_once(scientist: Wire, tenant: Tenant):
    def send(data: bytes) -> Any:
        return scientist.post("/datasets?filename=a.csv", data, content_type="text/csv", headers=ONCE)

    first, second, other = send(b"x,y\n1,2\n"), send(b"x,y\n1,2\n"), send(b"x,y\n1,3\n")
    assert (first.status_code, second.status_code, other.status_code) == (201, 201, 422)
    assert first.content == second.content
    assert Dataset.objects.for_tenant(tenant).count() == 1


def test_a_form_counts_once_whatever_its_boundary(scientist: Wire, tenant: Tenant):
    def send(data: bytes, boundary: str) -> Any:
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n'
            f"Content-Type: text/csv\r\n\r\n{data.decode()}\r\n--{boundary}--\r\n"
        )
        content_type = f"multipart/form-data; boundary={boundary}"
        return scientist.post("/datasets", body.encode(), content_type=content_type, headers=ONCE)

    first, second, other = send(b"x\n1\n", "aaa"), send(b"x\n1\n", "bbb"), send(b"x\n2\n", "aaa")
    assert (first.status_code, second.status_code, other.status_code) == (201, 201, 422)
    assert first.content == second.content
    assert Dataset.objects.for_tenant(tenant).get().size_bytes == 4


def test_a_file_without_a_key_counts_each_time(scientist: Wire, tenant: Tenant):
    for _ in range(2):
        file = SimpleUploadedFile("a.csv", b"x\n1\n", "text/csv")
        assert scientist.send_form("/datasets", {"file": file}).status_code == 201
    assert Dataset.objects.for_tenant(tenant).count() == 2


def start(key: str = "k", *, fingerprint: str = "f") -> Attempt:
    attempt = begin(key, credential="key:1", fingerprint=fingerprint)
    assert isinstance(attempt, Attempt)
    return attempt


def expire(attempt: Attempt) -> None:
    past = timezone.now() - timedelta(seconds=1)
    IdempotencyRecord.objects.filter(pk=attempt.record_id).update(expires_at=past)


def test_while_the_first_runs_the_second_waits(scientist: Wire):
    start()
    with pytest.raises(StillRunning) as caught:
        begin("k", credential="key:1", fingerprint="f")
    assert caught.value.retry_after_s


def test_a_crashed_attempt_is_taken_over_and_can_no_longer_commit(db: None):
    crashed = start()
    expire(crashed)
    successor = start()
    with pytest.raises(StillRunning), transaction.atomic():
        crashed.complete(Answer(201, b"late", {}))
    with transaction.atomic():
        successor.complete(Answer(201, b"answer", {"Location": "/x"}))
    assert begin("k", credential="key:1", fingerprint="f") == Answer(201, b"answer", {"Location": "/x"})


def test_an_attempt_that_lives_keeps_its_lease(db: None):
    attempt = start()
    attempt.renewed_at -= 60
    expire(attempt)
    attempt.renew()
    with pytest.raises(StillRunning):
        begin("k", credential="key:1", fingerprint="f")


def test_the_answer_is_kept_only_together_with_the_effect(transactional_db: None):
    attempt = start()

    def complete_and_fail() -> None:
        with transaction.atomic():
            attempt.complete(Answer(201, b"answer", {}))
            raise RuntimeError("killed before the commit")

    with pytest.raises(RuntimeError):
        complete_and_fail()
    assert IdempotencyRecord.objects.get().status is None
    with pytest.raises(transaction.TransactionManagementError):
        attempt.complete(Answer(201, b"answer", {}))


def test_answers_are_forgotten_after_a_day(db: None):
    attempt = start()
    with transaction.atomic():
        attempt.complete(Answer(201, b"answer", {}))
    assert idempotency.prune() == 0
    expire(attempt)
    assert isinstance(begin("k", credential="key:1", fingerprint="other"), Attempt)
    assert IdempotencyRecord.objects.count() == 1


def test_many_at_once_have_one_effect(transactional_db: None, scientist: Wire, tenant: Tenant):
    answers: list[Any] = []
    barrier = threading.Barrier(6)

    def send() -> None:
        barrier.wait()
        try:
            answers.append(Wire(scientist.key, base=scientist.base).post("/models", {"name": "churn"}, headers=ONCE))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert len(statuses) == 6
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert {problem(answer)["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_conflict"}
    assert RegisteredModel.objects.for_tenant(tenant).count() == 1
