from __future__ import annotations

import pytest

from tests.api.v1.wire import Wire, problem

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Authorization", "Bearer a,Bearer b", 400),
        ("Idempotency-Key", "a,b", 400),
        ("Content-Encoding", "gzip", 415),
        ("Content-Encoding", "identity, br", 415),
    ],
)
def test_ambiguous_and_encoded_requests_are_refused(header: str, value: str, status: int):
    response = Wire().post("/tenants", {}, headers={header: value})
    assert response.status_code == status
    assert problem(response)["request_id"] == response["X-Request-Id"]


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "UTF-7"])
def test_other_charsets_are_refused(charset: str):
    response = Wire().post("/tenants", {}, content_type=f"application/json; charset={charset}")
    assert (response.status_code, problem(response)["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("charset", ["utf-8", '"UTF-8"', "utf8"])
def test_utf_8_may_be_named(charset: str):
    assert Wire().post("/tenants", {}, content_type=f"application/json; charset={charset}").status_code == 401


@pytest.mark.parametrize("path", ["/api/v1//tenants", "/api/v1/a%00b", "/api/v1/a%5Cb", "/api/../v1", "/a" * 2000])
def test_paths_off_the_grammar_are_refused(path: str):
    response = Wire()("GET", path)
    assert (response.status_code, problem(response)["code"]) == (400, "malformed")


def test_a_body_over_every_limit_is_refused_by_its_head():
    response = Wire().post("/tenants", {}, CONTENT_LENGTH=str(10**15))
    assert (response.status_code, problem(response)["code"]) == (413, "too_large")


def test_a_length_that_is_no_number_is_refused():
    response = Wire().post("/tenants", {}, CONTENT_LENGTH="ten")
    assert (response.status_code, problem(response)["code"]) == (400, "malformed")


def test_an_unknown_host_is_a_problem_too():
    response = Wire().get("/me", headers={"Host": "evil.example"})
    assert (response.status_code, problem(response)["code"]) == (400, "malformed")


def test_the_clients_request_id_comes_back():
    assert Wire().get("/me", headers={"X-Request-Id": "abc.1"})["X-Request-Id"] == "abc.1"
    assert Wire().get("/me", headers={"X-Request-Id": "a b"})["X-Request-Id"] != "a b"
