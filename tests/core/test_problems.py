from __future__ import annotations

import json

import pytest

from modelpool.core import errors
from modelpool.core.problems import STATUSES, problem_of, status_of


def every_error(kind: type[errors.ModelpoolError] = errors.ModelpoolError) -> list[type[errors.ModelpoolError]]:
    """Return what the server may raise, whatever other tests have imported of the command line's own errors."""
    below = [kind for child in kind.__subclasses__() for kind in every_error(child)]
    return [each for each in [kind, *below] if not each.__module__.startswith("modelpool.server.cli.")]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_has_a_status_or_is_a_fault_of_the_server(kind: type[errors.ModelpoolError]) -> None:
    fault = kind in (errors.ModelpoolError, errors.ConfigurationError)
    assert (status_of(kind.__new__(kind)) == 500) is fault


def test_fields_are_named() -> None:
    error = errors.SignatureMismatch("no", errors=[errors.FieldError("instances[3].age", "must be a number")])
    document = json.loads(problem_of(error, request_id="r1").to_json())
    assert document["status"] == 422
    assert document["code"] == "signature_mismatch"
    assert document["request_id"] == "r1"
    assert document["errors"] == [{"field": "instances[3].age", "detail": "must be a number", "code": "invalid"}]


def test_unforeseen_errors_show_nothing() -> None:
    problem = problem_of(RuntimeError("secret path /etc/x"))
    assert problem.status == 500
    assert b"secret" not in problem.to_json()
    assert problem_of(errors.ConfigurationError("password=hunter2")).detail == problem.detail


def test_waiting_is_told_in_whole_seconds() -> None:
    assert problem_of(errors.Overloaded("full", retry_after_s=0.2)).headers == {"Retry-After": "1"}
    assert problem_of(errors.QuotaExceeded("full", retry_after_s=2.5)).headers["Retry-After"] == "3"
    assert problem_of(errors.ArtifactCorrupt("bad")).headers == {"Retry-After": "1"}
    assert problem_of(errors.NotAuthenticated()).headers == {"WWW-Authenticate": 'Bearer realm="modelpool"'}


def test_the_table_holds_no_class_twice_by_inheritance() -> None:
    for kind, status in STATUSES.items():
        assert all(STATUSES.get(base, status) == status for base in kind.__mro__[1:])
