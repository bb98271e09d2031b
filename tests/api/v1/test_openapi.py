"""The description of the API: valid, current, and kept by the answers; and no request breaks a route."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from django.core.management import CommandError, call_command
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelpool.api.v1.schema import build_schema, check_schema, schema_as_json
from modelpool.http.checks import walk_routes
from tests.api.v1.wire import Wire
from tests.api.v1.world import World

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
SNAPSHOT = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"


def test_the_document_is_valid_openapi():
    check_schema()
    assert build_schema()["openapi"] == "3.1.0"


def test_the_committed_snapshot_is_current():
    assert SNAPSHOT.read_bytes() == schema_as_json(), "run: modelpool manage openapi_snapshot"


@pytest.mark.slow
def test_the_command_checks_and_writes(tmp_path: Path):
    file = tmp_path / "openapi.json"
    with pytest.raises(CommandError):
        call_command("openapi_snapshot", str(file), check=True)
    call_command("openapi_snapshot", str(file))
    call_command("openapi_snapshot", str(file), check=True)
    assert file.read_bytes() == SNAPSHOT.read_bytes()


def test_every_route_and_method_is_described():
    documented = {(path, method.upper()) for path, methods in build_schema()["paths"].items() for method in methods}
    routes = {(path, method) for path, view in walk_routes() for method in view.permissions}
    undocumented = {("api/v1/openapi.json", "GET"), ("api/docs", "GET")}
    assert len(documented) == len(routes - undocumented)


def test_a_dataset_can_be_made_of_rows_or_of_an_upload():
    post = build_schema()["paths"]["/api/v1/tenants/{tenant}/datasets"]["post"]
    kinds = post["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert [one["$ref"].rpartition("/")[2] for one in kinds] == ["InlineDataset", "DatasetFromUpload"]
    upload = build_schema()["components"]["schemas"]["DatasetFromUpload"]
    assert (upload["required"], set(upload["properties"])) == (["upload"], {"upload", "filename", "sha256", "name"})


@pytest.mark.django_db
def test_document_and_page_are_public():
    client = Client()
    assert client.get("/api/v1/openapi.json").json()["info"]["title"] == "Modelpool"
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "script-src 'self';" in page["Content-Security-Policy"]
    text = page.content.decode()
    assert "//" not in text.replace("<!doctype", "")
    assert "<script>" not in text


@pytest.mark.django_db
def test_what_the_page_loads_is_there():
    from django.contrib.staticfiles import finders

    names = ("favicon-32x32.png", "swagger-ui.css", "swagger-ui-bundle.js")
    for name in (*(f"drf_spectacular_sidecar/swagger-ui-dist/{name}" for name in names), "modelpool/api-docs.js"):
        assert finders.find(name), name


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "struct"),
    [
        ("", "TenantDocument"),
        ("/models/churn", "ModelDocument"),
        ("/models/churn/versions/2", "VersionDocument"),
        ("/models/churn/versions/2?include=figures", "VersionDocument"),
        ("/models/churn/aliases/champion", "AliasDocument"),
        ("/datasets/{dataset}", "DatasetDocument"),
        ("/jobs/{job}", "JobDocument"),
        ("/keys/{key}", "KeyDocument"),
        ("/members/{user}", "MemberDocument"),
        ("/models/nothing", "Problem"),
    ],
)
def test_answers_are_as_described(admin: Wire, world: World, path: str, struct: str):
    schema = build_schema()
    document = admin.get(path.format(**world.path_arguments)).json()
    wanted = {"$ref": f"#/components/schemas/{struct}", "components": schema["components"]}
    jsonschema.Draft202012Validator(wanted).validate(document)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = (
    "name", "role", "tags", "policy", "trainer", "data", "columns", "rows", "params", "target", "version", "by", "mode",
    "expected", "description", "default_policy", "expires_in_days", "timeout_s", "max_models", "instances",
)  # fmt: skip
_bodies = st.dictionaries(st.sampled_from(_FIELDS), _json, max_size=5) | _json


@pytest.mark.slow
@pytest.mark.django_db
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(body=_bodies, at=st.integers(min_value=0))
def test_no_body_breaks_a_route(operator: Wire, world: World, body: Any, at: int):
    from tests.isolation.test_every_route import CASES, address

    taking = [
        (path, method) for path, method, _ in CASES if method in ("POST", "PUT", "PATCH") and "predict" not in path
    ]
    path, method = taking[at % len(taking)]
    response = operator(method, address(path, world), body)
    assert response.status_code < 500, (method, path, body, response.content)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_requests_made_from_the_document_never_break_it(make_key: Callable[..., str], world: World):
    """Schemathesis makes requests of every operation, such that fit and such that do not."""
    from django.core.wsgi import get_wsgi_application

    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", _closing(get_wsgi_application()))
    key = make_key("operator")
    checked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if "predict" in operation.path or operation.path.endswith("/events"):
            continue  # one needs a data plane, the other waits

        @settings(
            max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            case.path_parameters = {**(case.path_parameters or {}), "tenant": "acme", "model": "churn"}
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {key}", "Host": "localhost"}
            response = case.call()
            is_full = '"code":"storage_quota_exceeded"' in response.text  # a request before may have lowered the quota
            assert response.status_code < 500 or is_full, (case.method, case.formatted_path, case.body, response.text)

        check()
        checked += 1
    assert checked > 40


def _closing(application: Any) -> Any:
    """Close each response as a server does; that closes the files that were sent with the request."""

    def call(environ: Any, start_response: Any) -> list[bytes]:
        response = application(environ, start_response)
        try:
            return [b"".join(response)]
        finally:
            response.close()

    return call
