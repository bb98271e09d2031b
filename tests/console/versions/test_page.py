"""What the page of a version shows, and to whom."""

from __future__ import annotations

import html

import pytest
from django.urls import reverse

from modelpool.registry.quarantine import quarantine_version
from modelpool.registry.services import set_alias
from tests.console.versions.conftest import address, open_page

pytestmark = pytest.mark.django_db

ACTIONS = [
    "version-try",
    "version-activate",
    "version-release",
    "version-alias",
    "version-alias-delete",
    "version-describe",
    "version-delete",
]


@pytest.fixture
def version(tenant, classifier, publish):
    return publish(tenant, classifier)


def words(response) -> str:
    return html.unescape(response.content.decode())


class TestWhatIsShown:
    def test_lineage_leads_to_the_job_and_the_data(self, sign_in, pool, classifier, publish):
        version = publish(pool.tenant, classifier, job=pool.job, dataset=pool.dataset)
        text = words(open_page(sign_in("viewer", pool.tenant), version))
        assert reverse("console:job", args=[pool.tenant.name, pool.job.pk]) in text
        assert reverse("console:dataset", args=[pool.tenant.name, pool.dataset.pk]) in text
        assert "trainer tabular_classifier" in text
        assert "scikit-learn 1.7" in text

    def test_what_is_deleted_is_said_to_be(self, sign_in, pool, classifier, publish):
        version = publish(pool.tenant, classifier, job=pool.job, dataset=pool.dataset)
        pool.job.delete()
        pool.dataset.delete()
        text = words(open_page(sign_in("viewer", pool.tenant), version))
        assert "a job that is deleted" in text
        assert "deleted since" in text

    def test_metrics_stand_beside_their_means_over_the_folds(self, sign_in, version):
        lines = open_page(sign_in("viewer", version.tenant), version).context["metrics"]
        assert lines[0].name == "accuracy"
        assert lines[0].is_primary
        assert (lines[0].value, lines[0].cross) == (version.metrics["accuracy"], version.metrics["cv_accuracy"])
        assert lines[0].deviation == version.metrics["cv_accuracy_std"]
        assert len(lines) == len([name for name in version.metrics if not name.startswith("cv_")])

    def test_the_proof_is_said_in_words(self, sign_in, version, classifier):
        text = words(open_page(sign_in("viewer", version.tenant), version))
        assert f"Proved equal: on {classifier.parity['rows']} rows" in text
        assert "100 % of the classes are equal" in text
        assert f"The greatest difference is {classifier.parity['max_abs_diff']:.3g}" in text

    def test_why_it_is_not_compiled(self, sign_in, tenant, classifier, publish):
        parity = {"equal": False, "rows": 0, "labels_equal": None, "max_abs_diff": None, "tolerance": 0.0,
                  "reason": "no converter for <Thing>."}  # fmt: skip
        version = publish(tenant, classifier, parity=parity)
        assert "Not compiled: no converter for <Thing>. It answers as sklearn" in words(
            open_page(sign_in("viewer", tenant), version)
        )

    def test_files_with_their_digests(self, sign_in, version):
        response = open_page(sign_in("scientist", version.tenant), version)
        saved, compiled = response.context["files"]
        assert (saved.sha256, saved.answers) == (version.artifact.sha256, False)
        assert (compiled.sha256, compiled.answers) == (version.compiled.sha256, True)
        assert compiled.sha256 in words(response)

    def test_signature_with_shapes(self, sign_in, version):
        lines = open_page(sign_in("viewer", version.tenant), version).context["signature"]
        assert [line.spec.name for line in lines if line.is_input] == ["age", "joined", "member", "city"]
        assert [(line.spec.name, line.shape) for line in lines if not line.is_input] == [
            ("predict", ""),
            ("predict_proba", "3"),
        ]

    def test_what_people_and_data_say_is_never_markup(self, sign_in, tenant, classifier, publish):
        version = publish(tenant, classifier, tags={"<b>tag</b>": "</script><b>v</b>"}, description="<b>text</b>")
        raw = open_page(sign_in("admin", tenant), version).content.decode()
        for text in ("<b>tag", "<b>text", "<b>plus", "</script><b>"):
            assert text not in raw
        assert "&lt;b&gt;plus&lt;/b&gt;" in raw

    def test_an_upload_without_figures_is_told_how_to_send_some(self, sign_in, pool, tenant, classifier, publish):
        client = sign_in("viewer", tenant)
        assert "Nobody told how good it is" not in words(open_page(client, pool.versions[0]))
        version = publish(tenant, classifier, figures={})
        assert "Nobody told how good it is" in words(open_page(client, version))
        assert "/api/v1/tenants/acme/models/plans/versions" in words(open_page(client, version))

    def test_what_a_trainer_logged_without_figures_is_advised(self, sign_in, pool, classifier, publish):
        version = publish(pool.tenant, classifier, job=pool.job, figures={})
        assert "run.log_figure" in words(open_page(sign_in("viewer", pool.tenant), version))

    def test_queries_do_not_grow_with_aliases(self, sign_in, version, actor, django_assert_max_num_queries):
        client = sign_in("scientist", version.tenant)
        for _ in range(2):
            with django_assert_max_num_queries(14):
                open_page(client, version)
            for number in range(30):
                set_alias(version.model, name=f"a{number}", number=version.number, actor=actor)


class TestWhoSees:
    def test_a_viewer_sees_no_buttons(self, sign_in, version):
        raw = open_page(sign_in("viewer", version.tenant), version).content.decode()
        for name in ACTIONS:
            assert address(name, version) not in raw
        assert address("version-download", version) not in raw

    def test_a_predictor_may_try_and_no_more(self, sign_in, version):
        raw = open_page(sign_in("predictor", version.tenant), version).content.decode()
        assert address("version-try", version) in raw
        assert address("version-activate", version) not in raw

    @pytest.mark.parametrize("name", ACTIONS)
    def test_a_viewer_does_nothing_by_post(self, sign_in, version, name):
        assert sign_in("viewer", version.tenant).post(address(name, version)).status_code == 403

    def test_a_viewer_downloads_nothing(self, sign_in, version):
        assert sign_in("viewer", version.tenant).get(address("version-download", version)).status_code == 403

    @pytest.mark.parametrize("name", ["version", "version-download", *ACTIONS])
    def test_another_tenants_versions_are_not_there(self, sign_in, tenant, foreign_pool, name):
        client = sign_in("admin", tenant)
        there = address(name, foreign_pool.versions[0])
        for path in (there, there.replace(f"/{foreign_pool.tenant.name}/", f"/{tenant.name}/", 1)):
            method = client.post if name in ACTIONS else client.get
            assert method(path).status_code == 404, path

    @pytest.mark.parametrize("name", ACTIONS)
    def test_actions_refuse_get(self, sign_in, version, name):
        assert sign_in("admin", version.tenant).get(address(name, version)).status_code == 405

    @pytest.mark.parametrize("number", [99, 2**40])
    def test_a_version_that_never_was(self, sign_in, version, number):
        path = address("version", version).replace(f"/versions/{version.number}/", f"/versions/{number}/")
        assert sign_in("viewer", version.tenant).get(path).status_code == 404

    def test_quarantine_is_told_and_only_an_admin_is_offered_its_end(self, sign_in, version):
        quarantine_version(version.pk, tenant_id=version.tenant_id, reason="<b>it crashed</b>")
        shown = open_page(sign_in("scientist", version.tenant), version).content.decode()
        assert "&lt;b&gt;it crashed&lt;/b&gt;" in shown
        assert address("version-release", version) not in shown
        assert address("version-activate", version) not in shown
        admin = sign_in("admin", version.tenant, name="ada")
        assert address("version-release", version) in open_page(admin, version).content.decode()
