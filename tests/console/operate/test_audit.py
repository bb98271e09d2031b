"""The audit trail: filtered, paged, and sent as a file that is safe to open."""

from __future__ import annotations

import csv
import json
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from modelpool.console.trail import ACTIONS, safe_cell
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent
from tests.house.source import package_files

pytestmark = pytest.mark.django_db

_NAMES = re.compile(r"audit\.record\(\s*\"([a-z_.]+)\"")
EVIL = '=HYPERLINK("http://evil.example";"x")'


def trail_of(tenant):
    return reverse("console:audit", args=[tenant.name])


def export_of(tenant, format):
    return reverse("console:audit-export", args=[tenant.name, format])


@pytest.fixture
def events(tenant, other_tenant):
    """Ten events of acme by two people, one of umbrella, one of the installation; returns the ids of acme's."""
    people = [Actor(kind="user", id=str(number), label=name) for number, name in enumerate(["bob", EVIL])]
    for number in range(10):
        outcome = "denied" if number == 9 else "done"
        audit.record(
            f"version.{'activate' if number % 2 else 'delete'}", actor=people[number % 2], tenant=tenant,
            target=f"churn/{number}", details={"<b>n</b>": number}, outcome=outcome,
        )  # fmt: skip
    audit.record("version.activate", actor=people[0], tenant=other_tenant, target="secret/1")
    audit.record("user.create", actor=people[0], tenant=None, target="zoe")
    return list(AuditEvent.objects.filter(tenant_id=tenant.pk).order_by("-id").values_list("id", flat=True))


def ids(answer):
    return [event.pk for event, _details in answer.context["events"]]


@pytest.mark.parametrize(
    ("asked", "n_found"),
    [
        ({"actor": "bob"}, 5),
        ({"action": "version.activate"}, 5),
        ({"target": "churn/"}, 10),
        ({"target": "churn/3"}, 1),
        ({"outcome": "denied"}, 1),
        ({"since": "2999-01-01T00:00:00Z"}, 0),
        ({"until": "2999-01-01T00:00:00Z", "actor": "bob", "action": "", "outcome": ""}, 5),
    ],
)
def test_each_filter_filters_the_page_and_the_files(sign_in, tenant, events, asked, n_found):
    client = sign_in("admin", tenant)
    found = ids(client.get(trail_of(tenant), asked))
    if "until" not in asked and "target" not in asked and "since" not in asked:
        assert set(found) <= set(events)
    assert len([one for one in found if one in events]) == n_found
    lines = client.get(export_of(tenant, "jsonl"), asked).getvalue().splitlines()
    assert [json.loads(line)["id"] for line in lines] == found


def test_pages_follow_one_another_while_rows_are_added(sign_in, tenant, actor):
    for number in range(120):
        audit.record("model.update", actor=actor, tenant=tenant, target=f"m/{number}")
    client, address = sign_in("admin", tenant), trail_of(tenant)
    answer = client.get(address, {"action": "model.update"})
    found = ids(answer)
    while answer.context["shown"].older:
        audit.record("model.update", actor=actor, tenant=tenant, target="new")
        answer = client.get(address + answer.context["shown"].older)
        found += ids(answer)
    assert len(found) == len(set(found)) == 120
    assert found == sorted(found, reverse=True)


def test_a_tenants_trail_holds_nothing_of_others(sign_in, tenant, other_tenant, events):
    client = sign_in("admin", tenant)
    assert "secret/1" not in client.get(trail_of(tenant)).text
    for format in ("csv", "jsonl"):
        assert b"secret/1" not in client.get(export_of(tenant, format)).getvalue()
        assert client.get(export_of(tenant, format), {"tenant": other_tenant.name}).status_code == 400
        assert client.get(export_of(other_tenant, format)).status_code == 404
    assert client.get(trail_of(tenant), {"tenant": other_tenant.name}).status_code == 400


def test_operators_see_all_of_it(sign_in, events):
    client, address = sign_in("operator"), reverse("console:operate-audit")
    assert "secret/1" in client.get(address).text
    assert ids(client.get(address, {"tenant": "umbrella", "action": "version.activate"}))
    export = client.get(reverse("console:operate-audit-export", args=["csv"]), {"tenant": "umbrella"})
    assert b"secret/1" in export.getvalue()
    assert b"churn/1" not in export.getvalue()


def test_no_cell_of_the_csv_is_a_formula(sign_in, tenant, events):
    answer = sign_in("admin", tenant).get(export_of(tenant, "csv"))
    assert answer["Content-Disposition"].startswith('attachment; filename="audit-acme-')
    rows = list(csv.DictReader(answer.getvalue().decode().splitlines()))
    assert {row["actor_label"] for row in rows if row["action"].startswith("version.")} == {"bob", f"'{EVIL}"}
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values())


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "＝1"])
def test_what_begins_like_a_formula_is_quoted(text):
    assert safe_cell(text) == f"'{text}"


def test_plain_text_stays_as_it_is():
    assert safe_cell("a=1") == "a=1"


def test_an_export_holds_some_rows_at_a_time(sign_in, tenant, actor):
    rows = AuditEvent.objects.bulk_create(
        AuditEvent(action="model.update", tenant_id=tenant.pk, tenant_name="acme", target=f"m/{number}")
        for number in range(1200)
    )
    client = sign_in("admin", tenant)
    with CaptureQueriesContext(connection) as first:
        answer = client.get(export_of(tenant, "jsonl"), {"action": "model.update"})
    assert "LIMIT 500" in first[-1]["sql"]
    with CaptureQueriesContext(connection) as others:
        assert sum(1 for _ in answer.streaming_content) == len(rows)
    assert ["LIMIT 500" in query["sql"] for query in others] == [True, True, True]


@pytest.mark.parametrize("question", ["outcome=maybe", "since=yesterday", "digest=x", "ordering=target"])
def test_a_question_that_cannot_be_is_said(sign_in, tenant, question):
    client = sign_in("admin", tenant)
    answer = client.get(f"{trail_of(tenant)}?{question}")
    assert answer.status_code == 400
    assert "mp-error" in answer.text


def test_there_are_no_other_formats(sign_in, tenant):
    assert sign_in("admin", tenant).get(export_of(tenant, "xlsx")).status_code == 404


def test_details_are_never_markup(sign_in, tenant, events):
    text = sign_in("admin", tenant).get(trail_of(tenant)).text
    assert "<b>n</b>" not in text
    assert "&lt;b&gt;n&lt;/b&gt;" in text


def test_looking_and_exporting_write_nothing(sign_in, tenant, events):
    client, before = sign_in("admin", tenant), None
    before = AuditEvent.objects.count()
    client.get(trail_of(tenant))
    client.get(export_of(tenant, "csv")).getvalue()
    assert AuditEvent.objects.count() == before


def test_every_action_that_is_recorded_by_name_is_offered():
    recorded = set()
    for file in package_files():
        recorded |= {name for name in _NAMES.findall(file.text) if name.count(".") == 1}
    assert recorded
    assert recorded <= set(ACTIONS)
