"""The list of models, the page of one, and versions side by side: what they show and to whom."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.registry.models import ModelVersion
from modelpool.registry.quarantine import quarantine_version
from modelpool.registry.services import NewVersion, create_model, register_version, set_alias
from modelpool.storage.services import store_artifact
from modelpool.tenants.models import Tenant
from tests.console.models.addresses import address, send

pytestmark = pytest.mark.django_db

MARKUP = '<b id="x">\'"&'


def models(tenant: Tenant) -> str:
    return reverse("console:models", args=[tenant.name])


def listed(client: Client, tenant: Tenant, **question: str) -> list[str]:
    response = client.get(models(tenant), question)
    assert response.status_code == 200
    return [row.model.name for row in response.context["rows"]]


def shown(client: Client, pool, **question: str) -> list[int]:
    response = client.get(address("model", pool), question)
    assert response.status_code == 200
    return [row.version.number for row in response.context["rows"]]


@pytest.fixture
def add(actor):
    """``add(pool, accuracy=0.5, …)`` registers one more version."""

    def register(pool, *, inputs: str = "x", activate: str = "never", **fields):
        artifact = store_artifact(pool.tenant, chunks=[b"more"], store="default", filename="m.onnx")
        specs = TensorSpec(inputs, "float64"), TensorSpec("predict", "float64")
        signature = ModelSignature(inputs=specs[:1], outputs=specs[1:])
        given = {"format": "onnx", "serving_format": "onnx", "trust": "uploaded-data", "primary_metric": "accuracy"}
        new = NewVersion(artifact=artifact, signature=signature, **{**given, **fields})
        return register_version(pool.model, new=new, actor=actor, activate=activate)

    return register


class TestTheList:
    @pytest.fixture
    def others(self, tenant, actor, pool):
        create_model(tenant, name="empty", actor=actor, tags={"team": "north", "stage": "test"})
        create_model(tenant, name="fraud", actor=actor, description="Stolen CARDS", tags={"team": "south"})
        return pool

    @pytest.mark.parametrize(
        ("question", "names"),
        [
            ({}, ["churn", "empty", "fraud"]),
            ({"sort": "-name"}, ["fraud", "empty", "churn"]),
            ({"sort": "-versions"}, ["churn", "empty", "fraud"]),
            ({"q": "cards"}, ["fraud"]),
            ({"q": "chu"}, ["churn"]),
            ({"tag": "team"}, ["empty", "fraud"]),
            ({"tag": "team=south"}, ["fraud"]),
            ({"tag": "team=west"}, []),
            ({"state": "active"}, ["churn"]),
            ({"state": "none"}, ["empty", "fraud"]),
            ({"state": "empty"}, ["empty", "fraud"]),
            ({"state": "quarantined"}, []),
            ({"state": "divided"}, []),
            ({"metric": "accuracy"}, ["churn"]),
            ({"metric": "accuracy", "least": "0.81"}, []),
            ({"metric": "accuracy", "least": "0.7", "most": "0,9", "sort": "-metric"}, ["churn"]),
            ({"metric": "beauty"}, []),
            ({"state": "nonsense", "sort": "policy", "page": "x", "least": "y"}, ["churn", "empty", "fraud"]),
            ({"q": "\0", "tag": "\0"}, ["churn", "empty", "fraud"]),
        ],
    )
    def test_it_is_narrowed_and_sorted(self, sign_in, others, question, names):
        assert listed(sign_in("viewer", others.tenant), others.tenant, **question) == names

    def test_models_in_quarantine_and_with_divided_traffic_are_found(self, sign_in, others):
        client = sign_in("scientist", others.tenant)
        send(client, "model-traffic-set", others, "canary", version=2, percent=5)
        assert listed(client, others.tenant, state="divided") == ["churn"]
        quarantine_version(others.versions[0].pk, tenant_id=others.tenant.pk, reason="it crashed")
        assert listed(client, others.tenant, state="quarantined") == ["churn"]
        assert listed(client, others.tenant, state="active") == []

    def test_a_tenants_models_alone_are_there(self, sign_in, pool, foreign_pool):
        client = sign_in("admin", pool.tenant)
        assert listed(client, pool.tenant) == ["churn"]
        assert client.get(models(foreign_pool.tenant)).status_code == 404

    def test_long_lists_have_pages(self, sign_in, tenant, actor):
        for number in range(53):
            create_model(tenant, name=f"model-{number:02d}", actor=actor)
        client = sign_in("viewer", tenant)
        assert len(listed(client, tenant)) == 50
        assert listed(client, tenant, page="2") == ["model-50", "model-51", "model-52"]
        assert 'href="?q=model&amp;page=2"' in client.get(models(tenant), {"q": "model"}).content.decode()

    def test_an_empty_list_says_what_comes_next(self, sign_in, tenant):
        assert "Train the first model" in sign_in("scientist", tenant).get(models(tenant)).content.decode()
        page = sign_in("viewer", tenant, name="vic").get(models(tenant)).content.decode()
        assert "Train the first model" not in page
        assert "New model" not in page

    def test_it_asks_as_much_for_thirty_as_for_one(self, sign_in, pool, actor, django_assert_max_num_queries):
        client = sign_in("viewer", pool.tenant)
        question = {"metric": "accuracy", "sort": "-versions"}
        with django_assert_max_num_queries(14):
            client.get(models(pool.tenant), question)
        for number in range(30):
            create_model(pool.tenant, name=f"model-{number:02d}", actor=actor)
        with django_assert_max_num_queries(14):
            client.get(models(pool.tenant))


class TestTheModel:
    def test_everyone_of_the_tenant_sees_it_and_nobody_else(self, sign_in, pool, foreign_pool):
        client = sign_in("viewer", pool.tenant)
        assert "churn" in client.get(address("model", pool)).content.decode()
        assert client.get(address("model", foreign_pool)).status_code == 404
        foreign = reverse("console:model", args=[pool.tenant.name, foreign_pool.model.name])
        assert client.get(foreign).status_code == 404

    def test_a_viewer_sees_no_button(self, sign_in, pool):
        page = sign_in("viewer", pool.tenant).get(address("model", pool)).content.decode()
        for word in ("Activate", "Delete", "Upload", "Roll back", "Set the canary", "Download"):
            assert word not in page, word
        assert "Compare" in page

    def test_the_best_values_are_marked_by_what_is_better(self, sign_in, pool):
        rows = sign_in("viewer", pool.tenant).get(address("model", pool)).context["rows"]
        best = {row.version.number: {cell.name for cell in row.cells if cell.is_best} for row in rows}
        assert best == {2: {"accuracy", "log_loss"}, 1: set()}

    def test_what_cannot_answer_is_not_the_best(self, sign_in, pool, add):
        add(pool, metrics={"accuracy": 0.85})
        quarantine_version(pool.versions[1].pk, tenant_id=pool.tenant.pk, reason="it crashed")
        response = sign_in("scientist", pool.tenant).get(address("model", pool))
        best = {row.version.number for row in response.context["rows"] for cell in row.cells if cell.is_best}
        assert best == {3}
        assert response.context["best"].number == 3

    @pytest.mark.parametrize(
        ("question", "numbers"),
        [
            ({}, [3, 2, 1]),
            ({"sort": "number"}, [1, 2, 3]),
            ({"sort": "-metric.accuracy"}, [2, 1, 3]),
            ({"sort": "metric.accuracy"}, [1, 2, 3]),
            ({"state": "aliased"}, [2]),
            ({"state": "quarantined"}, [3]),
            ({"state": "ready"}, [2, 1]),
            ({"state": "failed"}, []),
            ({"sort": "metric.beauty", "metric": "beauty", "state": "lost", "page": "-3"}, [3, 2, 1]),
        ],
    )
    def test_its_pool_is_narrowed_and_sorted(self, sign_in, pool, add, actor, question, numbers):
        third = add(pool, metrics={})
        set_alias(pool.model, name="champion", number=2, actor=actor)
        quarantine_version(third.pk, tenant_id=pool.tenant.pk, reason="it crashed")
        assert shown(sign_in("viewer", pool.tenant), pool, **question) == numbers

    def test_the_chart_leads_to_the_versions(self, sign_in, pool):
        chart = sign_in("viewer", pool.tenant).get(address("model", pool), {"metric": "log_loss"}).context["chart"]
        assert chart.labels == ["v1", "v2"]
        assert chart.links == [address("version", pool, 1), address("version", pool, 2)]
        assert [series.values for series in chart.series][2] == pytest.approx([0.2, 0.1])

    def test_what_people_typed_is_never_markup(self, sign_in, pool, add, actor):
        add(pool, metrics={MARKUP: 0.5, "accuracy": 0.1}, params={MARKUP: MARKUP}, activate="always")
        add(pool, metrics={MARKUP: 0.6}, params={MARKUP: "2"}, tags={MARKUP: MARKUP}, description=MARKUP)
        pool.model.description, pool.model.tags = MARKUP, {MARKUP: MARKUP}
        pool.model.save()
        client = sign_in("scientist", pool.tenant)
        for page in (
            client.get(address("model", pool), {"metric": MARKUP}),
            client.get(address("model-edit", pool)),
            client.get(address("model-compare", pool), {"v": ["3", "4"], "label": MARKUP}),
            client.get(models(pool.tenant), {"metric": MARKUP, "q": MARKUP, "tag": MARKUP}),
            client.get(models(pool.tenant)),
        ):
            assert page.status_code == 200
            assert '<b id="x">' not in page.content.decode()

    def test_it_asks_as_much_for_thirty_as_for_two(self, sign_in, pool, django_assert_max_num_queries):
        client = sign_in("scientist", pool.tenant)
        with django_assert_max_num_queries(26):
            client.get(address("model", pool))
        first = pool.versions[0]
        ModelVersion.unscoped.bulk_create(
            ModelVersion(tenant=pool.tenant, model=pool.model, number=number, signature=first.signature,
                         size_bytes=1, sha256="0" * 64, metrics={"accuracy": 0.5}, format="onnx", serving_format="onnx")
            for number in range(3, 63)
        )  # fmt: skip
        with django_assert_max_num_queries(26):
            assert len(shown(client, pool)) == 50
        assert shown(client, pool, page="2") == list(range(12, 0, -1))

    def test_an_empty_pool_says_what_comes_next(self, sign_in, tenant, actor):
        model = create_model(tenant, name="new", actor=actor)
        page = reverse("console:model", args=[tenant.name, model.name])
        assert f"?model={model.name}" in sign_in("scientist", tenant).get(page).content.decode()
        assert "Train a version" not in sign_in("viewer", tenant, name="vic").get(page).content.decode()


class TestComparing:
    def test_metrics_have_differences_and_the_best_marked(self, sign_in, pool):
        response = sign_in("viewer", pool.tenant).get(address("model-compare", pool), {"v": ["1", "2"]})
        lines = {line.name: line.cells for line in response.context["metrics"]}
        assert lines["accuracy"][1].is_best
        assert lines["accuracy"][1].is_better
        assert lines["accuracy"][1].delta == pytest.approx(0.1)
        assert lines["log_loss"][1].is_best
        assert lines["log_loss"][1].delta == pytest.approx(-0.1)
        assert "Activate" not in response.content.decode()

    def test_what_differs_is_told_apart(self, sign_in, pool, add):
        add(pool, inputs="other", params={"depth": 3, "seed": 1}, libraries={"scikit-learn": "1.5"})
        add(pool, inputs="x", params={"depth": 4, "seed": 1}, libraries={"scikit-learn": "1.5"})
        response = sign_in("viewer", pool.tenant).get(address("model-compare", pool), {"v": ["3", "4"]})
        sections = {section.id: section for section in response.context["sections"]}
        assert [line.name for line in sections["parameters"].different] == ["depth"]
        assert [line.name for line in sections["parameters"].same] == ["seed"]
        assert {line.name for line in sections["signature"].different} == {"in: other", "in: x"}
        assert sections["libraries"].different == []

    def test_curves_lie_over_each_other(self, sign_in, pool, add):
        for area in (0.5, 1):
            curve = {"label": "yes", "fpr": [0, 0.5, 1], "tpr": [0, area, 1], "auc": area}
            other = {"label": 7, "fpr": [0, 1], "tpr": [0, 1]}
            add(pool, figures={"roc": {"kind": "roc", "curves": [curve, other]}, "calibration": {"curves": "broken"}})
        client, page = sign_in("viewer", pool.tenant), address("model-compare", pool)
        context = client.get(page, {"v": ["3", "4"]}).context
        assert [series.name for series in context["charts"][0].series] == [
            "v3 (AUC 0.500)",
            "v4 (AUC 1.000)",
            "by chance",
        ]
        assert context["labels"] == ["yes", "7"]
        assert client.get(page, {"v": ["3", "4"], "label": "7"}).context["charts"][0].series[0].name == "v3"

    def test_residuals_are_shares_of_the_rows(self, sign_in, pool, add):
        add(pool, figures={"residuals": {"edges": [-1, 0, 1], "counts": [3, 1]}})
        for broken in ({"edges": [0, 1], "counts": [1, 2]}, {"edges": ["x", 1], "counts": [1]}, "nothing"):
            add(pool, figures={"residuals": broken, "feature_importance": broken})
        page = address("model-compare", pool)
        context = sign_in("viewer", pool.tenant).get(page, {"v": ["3", "4", "5", "6"]}).context
        assert [series.points for series in context["charts"][0].series] == [[(-0.5, 0.75), (0.5, 0.25)]]
        assert context["importance"] is None

    @pytest.mark.parametrize(
        "numbers", [[], ["1"], ["1", "1"], ["1", "x"], ["1", "99"], ["1", "2", "3", "4", "5", "6"], ["1", "9" * 40]]
    )
    def test_what_cannot_be_compared_is_said(self, sign_in, pool, numbers):
        response = sign_in("viewer", pool.tenant).get(address("model-compare", pool), {"v": numbers})
        assert response.status_code == 422
        assert "Nothing to compare" in response.content.decode()

    def test_another_tenants_versions_are_not_there(self, sign_in, pool, foreign_pool):
        client = sign_in("admin", pool.tenant)
        assert client.get(address("model-compare", foreign_pool), {"v": ["1", "2"]}).status_code == 404

    def test_five_ask_as_much_as_two(self, sign_in, pool, add, django_assert_max_num_queries):
        for _ in range(3):
            add(pool, metrics={"accuracy": 0.5})
        client = sign_in("viewer", pool.tenant)
        for numbers in (["1", "2"], ["1", "2", "3", "4", "5"]):
            with django_assert_max_num_queries(12):
                client.get(address("model-compare", pool), {"v": numbers})
