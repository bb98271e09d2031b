"""Trying a version from its page: by the same way as with a key, with the same limits and the same errors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from modelpool.core.metrics import catalogue
from modelpool.inference.observation.metrics import METERS
from modelpool.registry.quarantine import quarantine_version
from modelpool.tenants import services
from modelpool.training.models import Dataset
from tests.console.versions.conftest import address, open_page

pytestmark = [pytest.mark.django_db(transaction=True)]

PREVIEWED = [
    {"name": "age", "dtype": "float64", "min": 11.5, "max": 71.25, "distinct": 90, "top": []},
    {"name": "city", "dtype": "string", "distinct": 3, "top": [["Rome", 50], ["Köln", 40], ["Paris", 30]]},
]


def ask(client, version, **data):
    """Send a form as a script does, and return what is shown in its place."""
    response = client.post(address("version-try", version), data, headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "<html" not in response.text
    return response.context["trial"]


@pytest.fixture
def version(tenant, plane, classifier, publish):
    return publish(tenant, classifier)


@pytest.fixture
def client(sign_in, tenant):
    return sign_in("predictor", tenant)


def filled(client, version) -> dict[str, str]:
    """The row that the form begins with."""
    return {field.name: field.value for field in open_page(client, version).context["trial"].fields}


class TestTheForm:
    def test_it_is_made_from_the_signature_and_filled_with_the_example(self, client, version, classifier):
        fields = {field.label: field for field in open_page(client, version).context["trial"].fields}
        assert [field.kind for field in fields.values()] == ["number", "datetime", "choice", "text"]
        assert float(fields["age"].value) == classifier.signature.example["age"]
        assert fields["joined"].value + "Z" == classifier.signature.example["joined"]
        assert not fields["age"].is_required
        assert fields["city"].value == classifier.signature.example["city"]

    def test_it_offers_what_the_data_held(self, client, tenant, classifier, publish, pool):
        Dataset.objects.for_tenant(tenant).filter(pk=pool.dataset.pk).update(columns=PREVIEWED)
        version = publish(tenant, classifier, dataset=pool.dataset)
        fields = {field.label: field for field in open_page(client, version).context["trial"].fields}
        assert fields["city"].kind == "choice"
        assert [one.value for one in fields["city"].choices if one.value] == ["Köln", "Paris", "Rome"]
        assert "11.5 to 71.25" in fields["age"].hint

    def test_an_upload_without_an_example_is_filled_with_something_harmless(self, client, pool):
        (field,) = open_page(client, pool.versions[0]).context["trial"].fields
        assert (field.label, field.value) == ("x", "0")


class TestAnswers:
    def test_a_row_with_its_probabilities(self, client, version, classifier):
        trial = ask(client, version, mode="row", method="predict_proba", **filled(client, version))
        assert trial.refusal is None
        (row,) = trial.answer.rows
        assert {one.label for one in row.likelihoods} == {str(name) for name in classifier.signature.classes}
        assert sum(one.probability for one in row.likelihoods) == pytest.approx(1)
        assert row.likelihoods[0].is_predicted
        assert row.likelihoods[0].label == row.prediction
        assert json.loads(trial.answer.raw)["version"] == version.number

    def test_a_number(self, client, tenant, plane, regressor, publish):
        version = publish(tenant, regressor)
        trial = ask(client, version, mode="row", **filled(client, version))
        (row,) = trial.answer.rows
        assert isinstance(json.loads(row.prediction), float)
        assert row.likelihoods == []

    def test_missing_values_are_sent_as_missing(self, client, version):
        values = {**filled(client, version), "i0": "", "i1": ""}
        assert ask(client, version, mode="row", **values).answer.n_rows == 1

    def test_what_is_wrong_is_told_at_its_field(self, client, version):
        values = {**filled(client, version), "i0": "forty", "i1": "yesterday"}
        trial = ask(client, version, mode="row", **values)
        problems = {field.label: field.problem for field in trial.fields}
        assert "number" in problems["age"]
        assert "ISO 8601" in problems["joined"]
        assert not problems["city"]
        assert (trial.fields[0].value, trial.answer) == ("forty", None)
        assert "age, joined" in trial.refusal.text

    @pytest.mark.parametrize("text", ['[{"age": 1, "joined": null, "member": true, "city": "Rome"}] ',
                                      '{"age": 1, "joined": null, "member": true, "city": "Rome"}',
                                      '{"instances": [[1, null, true, "Rome"]]}'])  # fmt: skip
    def test_pasted_json(self, client, version, text):
        assert ask(client, version, mode="json", json=text).answer.n_rows == 1

    def test_pasted_csv_of_several_rows(self, client, version):
        text = "age,joined,member,city\n1,,true,Rome\n50,2024-01-31,false,Köln\n"
        trial = ask(client, version, mode="csv", csv=text, method="predict_proba")
        assert [row.number for row in trial.answer.rows] == [1, 2]
        assert all(row.first.is_predicted for row in trial.answer.rows)

    @pytest.mark.parametrize(("mode", "text"), [("json", "{"), ("json", "[" * 5000), ("csv", ""), ("csv", "a,b\n1,2\n"),
                                                ("json", '{"instances": [[1]], "x": 1}'), ("json", "NaN")])  # fmt: skip
    def test_what_cannot_be_read_is_refused_in_words(self, client, version, mode, text):
        trial = ask(client, version, mode=mode, **{mode: text})
        assert trial.answer is None
        assert trial.refusal.text
        assert trial.pasted[mode] == text

    @pytest.mark.parametrize(
        "text", [r'["\ud800"]', r'{"city": "\ud800"}', r'"\ud800"', r'{"instances": [{"city": "\ud800"}]}', "[" * 5000]
    )
    def test_half_of_a_surrogate_pair_is_refused_and_no_fault_of_ours(self, client, version, text):
        trial = ask(client, version, mode="json", json=text)
        assert trial.answer is None
        assert trial.refusal.text
        assert [snippet.id for snippet in trial.snippets] == ["curl", "python", "javascript"]

    def test_very_much_is_for_programs(self, client, version):
        trial = ask(client, version, mode="json", json=" " * 200_001)
        assert "200000 characters" in trial.refusal.text

    def test_without_a_script_the_page_comes_with_the_answer(self, client, version):
        response = client.post(address("version-try", version), {"mode": "row", **filled(client, version)})
        assert "mp-prediction" in response.text
        assert "<html" in response.text

    def test_more_rows_than_are_shown_are_counted(self, client, version):
        rows = [[1, None, True, "Rome"]] * 150
        trial = ask(client, version, mode="json", json=json.dumps(rows))
        assert (len(trial.answer.rows), trial.answer.n_rows) == (100, 150)


class TestTheSameWay:
    def test_it_is_counted_as_predictions_are(self, client, version):
        def answered() -> float:
            METERS.flush()
            found = catalogue.PREDICTIONS.children()
            return sum(child.values[0] for labels, child in found if labels[:3] == ("django", "200", "acme"))

        before = answered()
        ask(client, version, mode="row", **filled(client, version))
        assert answered() == before + 1

    def test_the_tenants_limit_counts(self, client, version, actor):
        services.update_tenant(version.tenant, actor=actor, predictions_per_second=0.1, burst=1)
        values = filled(client, version)
        refusals = [ask(client, version, mode="row", **values).refusal for _ in range(3)]
        assert any(refusal is not None and refusal.can_be_repeated for refusal in refusals)

    def test_a_version_in_quarantine_says_why_it_does_not_answer(self, client, version):
        values = filled(client, version)
        quarantine_version(version.pk, tenant_id=version.tenant_id, reason="it crashed")
        assert "quarantine" in ask(client, version, mode="row", **values).refusal.text

    def test_nothing_heavy_is_loaded_by_it(self):
        code = (
            "import sys, django; django.setup(); import modelpool.console.urls; "
            "heavy = {'pandas', 'sklearn', 'scipy', 'pyarrow', 'onnx', 'skl2onnx'}; print(heavy & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"
