from __future__ import annotations

import errno
import json

import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import OperationalError
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions as drf

from modelpool.core import errors
from modelpool.http.errors import answer, not_found, server_error
from tests.api.v1.wire import problem


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.VersionIsActive("m", 1), 409, "version_active"),
        (errors.StorageQuotaExceeded("full"), 507, "storage_quota_exceeded"),
        (errors.StoreUnavailable("gone"), 503, "store_unavailable"),
        (errors.ArtifactCorrupt("bad"), 503, "artifact_corrupt"),
        (drf.ParseError(), 400, "malformed"),
        (drf.NotAuthenticated(), 401, "not_authenticated"),
        (drf.PermissionDenied(), 403, "permission_denied"),
        (drf.NotFound(), 404, "not_found"),
        (Http404(), 404, "not_found"),
        (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (drf.NotAcceptable(), 406, "not_acceptable"),
        (drf.UnsupportedMediaType("x/y"), 415, "unsupported_media_type"),
        (drf.Throttled(wait=3), 429, "quota_exceeded"),
        (SuspiciousOperation("secret detail"), 400, "malformed"),
        (OperationalError("password=hunter2"), 503, "database_unavailable"),
        (OSError(errno.ENOSPC, "secret path"), 507, "storage_quota_exceeded"),
        (OSError(errno.EMFILE, "secret path"), 503, "overloaded"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_foreseen_errors_are_problems(error: Exception, status: int, code: str):
    response = answer(error, request_id="r1")
    assert response is not None
    document = problem(response)
    assert (response.status_code, document["code"], document["request_id"]) == (status, code, "r1")
    assert "hunter2" not in document["detail"]
    assert "secret" not in document["detail"]
    assert ("Retry-After" in response) is (status in (429, 503))


@pytest.mark.parametrize("error", [ValueError("x"), errors.ConfigurationError("x"), RecursionError(), OSError()])
def test_faults_of_ours_are_left_to_the_log(error: Exception):
    assert answer(error, request_id=None) is None


def test_a_fault_shows_nothing_but_the_requests_id():
    request = RequestFactory().get("/api/v1/me")
    request.request_id = "r2"  # type: ignore[attr-defined]
    document = json.loads(server_error(request).content)
    assert (document["status"], document["code"], document["request_id"]) == (500, "internal_error", "r2")


def test_people_get_pages_and_programs_get_problems():
    assert not_found(RequestFactory().get("/console/x"), Http404())["Content-Type"].startswith("text/html")
    assert not_found(RequestFactory().get("/v2/x"), Http404())["Content-Type"] == "application/problem+json"


@pytest.mark.django_db
def test_a_view_that_fails_answers_500_and_logs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    from modelpool.api.v1.routes.members import MeView

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr(MeView, "check_permissions", fail)
    response = Client(raise_request_exception=False).get("/api/v1/me", headers={"X-Request-Id": "r3"})
    assert (response.status_code, problem(response)["request_id"]) == (500, "r3")
    assert b"42" not in response.content
    assert "the secret is 42" in caplog.text
