"""What the buttons do, and for whom."""

from __future__ import annotations

import hashlib

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from modelpool.core.errors import TenantNotFound
from modelpool.registry.models import ModelAlias, ModelVersion, RegisteredModel
from modelpool.tenants import services
from modelpool.tenants.authentication import find_principal
from modelpool.tenants.models import APIKey, AuditEvent, Member, Tenant, User
from modelpool.training.models import Dataset, TrainingJob
from tests.fixtures.onnx_files import adds

pytestmark = pytest.mark.django_db


def do(client, name, row, **data):
    return client.post(reverse(f"admin:{name}", args=[row.pk]), data, follow=True)


def active_number(pool):
    pool.model.refresh_from_db()
    return pool.model.active_version and pool.model.active_version.number


def test_a_scientist_activates_and_rolls_back(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    do(client, "registry_modelversion_activate", pool.versions[1])
    assert active_number(pool) == 2
    do(client, "registry_registeredmodel_rollback", pool.model)
    assert active_number(pool) == 1
    assert AuditEvent.objects.filter(action="version.activate", actor_label="ann").count() == 2


def test_the_best_of_the_pool_by_a_metric(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    do(client, "registry_registeredmodel_best", pool.model, by="log_loss", mode="")
    assert active_number(pool) == 2
    do(client, "registry_registeredmodel_best", pool.model, by="log_loss", mode="max")
    assert active_number(pool) == 1


def test_an_error_is_shown_on_the_page(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    response = do(client, "registry_registeredmodel_best", pool.model, by="beauty")
    assert "beauty" in response.content.decode()
    assert response.status_code == 200
    assert active_number(pool) == 1


@pytest.mark.parametrize("role", ["viewer", "predictor"])
def test_a_lesser_role_changes_nothing(sign_in, pool, role):
    client = sign_in(role, pool.tenant)
    assert do(client, "registry_modelversion_activate", pool.versions[1]).status_code == 403
    assert do(client, "registry_modelversion_download", pool.versions[1]).status_code == 403
    assert do(client, "training_trainingjob_cancel", pool.job).status_code == 403
    assert do(client, "training_dataset_download", pool.dataset).status_code == 403
    assert do(client, "training_dataset_keep", pool.dataset).status_code == 403
    assert active_number(pool) == 1


def test_another_tenants_rows_are_out_of_reach(sign_in, tenant, foreign_pool):
    client = sign_in("admin", tenant)
    for name, row in [
        ("registry_modelversion_activate", foreign_pool.versions[1]),
        ("registry_modelversion_download", foreign_pool.versions[0]),
        ("registry_modelversion_remove", foreign_pool.versions[1]),
        ("registry_registeredmodel_remove", foreign_pool.model),
        ("training_trainingjob_cancel", foreign_pool.job),
        ("training_dataset_download", foreign_pool.dataset),
        ("training_dataset_keep", foreign_pool.dataset),
        ("training_dataset_remove", foreign_pool.dataset),
    ]:
        assert do(client, name, row).status_code == 404, name
    assert active_number(foreign_pool) == 1


def test_a_download_is_the_stored_file(sign_in, pool):
    response = do(sign_in("scientist", pool.tenant), "registry_modelversion_download", pool.versions[1])
    content = b"".join(response.streaming_content)
    assert hashlib.sha256(content).hexdigest() == pool.versions[1].sha256
    assert response["Content-Disposition"].startswith("attachment")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_file_made_elsewhere_is_uploaded(plane, sign_in, pool):
    client, data = sign_in("scientist", pool.tenant), adds(1)
    response = do(
        client, "registry_registeredmodel_upload", pool.model, file=SimpleUploadedFile("m.onnx", data), activate="on"
    )
    assert "Uploaded as version 3." in response.content.decode()
    assert active_number(pool) == 3
    made = ModelVersion.objects.for_tenant(pool.tenant).get(number=3)
    assert (made.sha256, made.trust) == (hashlib.sha256(data).hexdigest(), "uploaded-data")
    refused = do(client, "registry_registeredmodel_upload", pool.model, file=SimpleUploadedFile("m.onnx", b"no model"))
    assert "Uploaded" not in refused.content.decode()
    assert ModelVersion.objects.for_tenant(pool.tenant).count() == 3


def test_an_alias_is_set(sign_in, pool):
    do(sign_in("scientist", pool.tenant), "registry_modelversion_alias", pool.versions[1], alias="champion")
    assert ModelAlias.objects.for_tenant(pool.tenant).get().version_id == pool.versions[1].pk


def test_a_version_is_deleted_but_not_the_active_one(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    response = do(client, "registry_modelversion_remove", pool.versions[0])
    assert "activate another" in response.content.decode()
    do(client, "registry_modelversion_remove", pool.versions[1])
    states = ModelVersion.objects.for_tenant(pool.tenant).order_by("number").values_list("state", flat=True)
    assert list(states) == ["ready", "deleted"]


def test_a_model_is_deleted_only_after_a_page_that_names_what_is_lost(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    page = do(client, "registry_registeredmodel_remove", pool.model).content.decode()
    assert "v1" in page
    assert "v2" in page
    assert RegisteredModel.objects.for_tenant(pool.tenant).exists()
    do(client, "registry_registeredmodel_remove", pool.model, confirmed="churn")
    assert not RegisteredModel.objects.for_tenant(pool.tenant).exists()


def test_a_model_is_made_by_a_form(sign_in, tenant):
    client = sign_in("scientist", tenant)
    address = reverse("admin:registry_registeredmodel_add")
    assert client.get(address).status_code == 200
    assert "Upper Case" in client.post(address, {"tenant": tenant.name, "name": "Upper Case"}).content.decode()
    assert client.post(address, {"tenant": tenant.name, "name": "risk"}).status_code == 302
    assert RegisteredModel.objects.for_tenant(tenant).get().name == "risk"


def test_a_form_does_not_take_another_tenant(sign_in, tenant, other_tenant):
    client = sign_in("scientist", tenant)
    client.post(reverse("admin:registry_registeredmodel_add"), {"tenant": other_tenant.name, "name": "risk"})
    assert not RegisteredModel.unscoped.exists()


def test_training_starts_from_a_file(sign_in, pool):
    file = SimpleUploadedFile("table.csv", b"x,y\n1,a\n2,b\n", content_type="text/csv")
    response = do(
        sign_in("scientist", pool.tenant), "registry_registeredmodel_train", pool.model,
        file=file, trainer="tabular_classifier", target="y", params='{"seed": 1}', activate="never",
    )  # fmt: skip
    job = TrainingJob.objects.for_tenant(pool.tenant).exclude(pk=pool.job.pk).get()
    assert (job.state, job.target, job.params, job.activate) == ("queued", "y", {"seed": 1}, "never")
    assert response.redirect_chain[-1][0] == reverse("admin:training_trainingjob_change", args=[job.pk])


def test_a_training_that_is_refused_leaves_no_dataset(sign_in, pool):
    Tenant.objects.filter(pk=pool.tenant.pk).update(max_queued_jobs=0)
    before = Dataset.objects.for_tenant(pool.tenant).count()
    response = do(
        sign_in("scientist", pool.tenant), "registry_registeredmodel_train", pool.model,
        file=SimpleUploadedFile("table.csv", b"x,y\n1,a\n"), trainer="tabular_classifier", target="y",
    )  # fmt: skip
    assert "which is its quota" in response.content.decode()
    assert Dataset.objects.for_tenant(pool.tenant).count() == before


@pytest.mark.parametrize("params", ["[1]", "{", '"x"'])
def test_bad_parameters_are_explained(sign_in, pool, params):
    file = SimpleUploadedFile("table.csv", b"x,y\n1,a\n", content_type="text/csv")
    response = do(
        sign_in("scientist", pool.tenant), "registry_registeredmodel_train", pool.model,
        file=file, trainer="tabular_classifier", target="y", params=params,
    )  # fmt: skip
    assert "Parameters" in response.content.decode()
    assert TrainingJob.objects.for_tenant(pool.tenant).count() == 1


def test_a_queued_job_is_cancelled(sign_in, pool):
    do(sign_in("scientist", pool.tenant), "training_trainingjob_cancel", pool.job)
    pool.job.refresh_from_db()
    assert pool.job.state == "cancelled"


def test_a_dataset_is_deleted(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    do(client, "training_trainingjob_cancel", pool.job)
    do(client, "training_dataset_remove", pool.dataset)
    assert not Dataset.objects.for_tenant(pool.tenant).exists()


def test_a_datasets_file_is_downloaded(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    response = do(client, "training_dataset_download", pool.dataset)
    assert b"".join(response.streaming_content) == b"x,y\n1,2\n"
    assert "d.csv" in response["Content-Disposition"]
    parquet = do(client, "training_dataset_download", pool.dataset, artifact="table")
    assert "has no table file" in parquet.content.decode()


def test_a_dataset_is_kept_until_a_day_or_for_good(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    assert "until 2999-01-31 23:59 UTC" in do(client, "training_dataset_keep", pool.dataset, until="2999-01-31").text
    pool.dataset.refresh_from_db()
    assert pool.dataset.expires_at.isoformat() == "2999-01-31T23:59:59+00:00"
    for wrong in ("2001-01-31", "tomorrow"):
        assert "2030-01-31" in do(client, "training_dataset_keep", pool.dataset, until=wrong).content.decode()
    assert 'value="2999-01-31"' in client.get(reverse("admin:training_dataset_change", args=[pool.dataset.pk])).text
    do(client, "training_dataset_keep", pool.dataset, until="")
    pool.dataset.refresh_from_db()
    assert pool.dataset.expires_at is None


class TestKeys:
    def test_the_secret_is_shown_once(self, sign_in, tenant):
        client = sign_in("admin", tenant)
        data = {"tenant": tenant.name, "role": "predictor", "name": "shop", "expires_in_days": "30"}
        response = client.post(reverse("admin:tenants_apikey_add"), data)
        secret = response.context["secret"]
        principal = find_principal(secret)
        assert principal is not None
        assert (principal.role, principal.tenant_name) == ("predictor", tenant.name)
        assert "no-store" in response["Cache-Control"]
        key = APIKey.objects.for_tenant(tenant).get()
        for address in (
            reverse("admin:tenants_apikey_change", args=[key.pk]),
            reverse("admin:tenants_apikey_changelist"),
        ):
            assert secret not in client.get(address).content.decode()

    def test_a_tenants_admin_makes_no_operators_key(self, sign_in, tenant):
        client = sign_in("admin", tenant)
        client.post(reverse("admin:tenants_apikey_add"), {"tenant": "", "role": "operator"})
        client.post(reverse("admin:tenants_apikey_add"), {"tenant": tenant.name, "role": "operator"})
        assert not APIKey.unscoped.exists()

    def test_an_operator_makes_an_operators_key(self, sign_in):
        response = sign_in("operator").post(reverse("admin:tenants_apikey_add"), {"tenant": "", "role": "operator"})
        assert find_principal(response.context["secret"]).is_operator

    def test_a_key_is_revoked(self, sign_in, tenant, make_key):
        secret = make_key("viewer", tenant)
        do(sign_in("admin", tenant), "tenants_apikey_revoke", APIKey.objects.for_tenant(tenant).get())
        assert find_principal(secret) is None

    def test_an_operators_key_is_out_of_a_tenants_reach(self, sign_in, tenant, make_key):
        secret = make_key("operator")
        assert do(sign_in("admin", tenant), "tenants_apikey_revoke", APIKey.unscoped.get()).status_code == 404
        assert find_principal(secret) is not None


class TestTenantsAndPeople:
    def test_an_operator_makes_and_changes_a_tenant(self, sign_in):
        client = sign_in("operator")
        form = {"name": "newco", "display_name": "New Co", "is_active": "on", "store": "default"}
        assert client.post(reverse("admin:tenants_tenant_add"), form).status_code == 302
        made = Tenant.objects.get(name="newco")
        change = {"display_name": "New Company", "store": "rows"}
        assert client.post(reverse("admin:tenants_tenant_change", args=[made.pk]), change).status_code == 302
        made.refresh_from_db()
        assert (made.display_name, made.is_active, made.store) == ("New Company", False, "rows")
        assert AuditEvent.objects.filter(target="newco", action__in=["tenant.create", "tenant.update"]).count() == 2

    def test_bad_names_are_explained(self, sign_in):
        response = sign_in("operator").post(reverse("admin:tenants_tenant_add"), {"name": "New Co", "store": "default"})
        assert response.status_code == 200
        assert "lower-case" in response.content.decode()

    @pytest.mark.parametrize(
        "field",
        ["max_models", "max_queued_jobs", "max_storage_bytes", "dataset_days", "predictions_per_second", "burst"],
    )
    @pytest.mark.parametrize("value", ["-1", str(2**70)])
    def test_impossible_quotas_are_explained(self, sign_in, tenant, field, value):
        address = reverse("admin:tenants_tenant_change", args=[tenant.pk])
        response = sign_in("operator").post(address, {"store": "default", field: value})
        assert response.status_code == 200
        assert "Ensure this value is" in response.content.decode()

    def test_what_only_the_service_can_know_is_explained(self, sign_in, tenant, monkeypatch):
        def gone(*_, **__):
            raise TenantNotFound("acme")

        monkeypatch.setattr(services, "update_tenant", gone)
        address = reverse("admin:tenants_tenant_change", args=[tenant.pk])
        response = sign_in("operator").post(address, {"store": "default", "display_name": "x"}, follow=True)
        assert response.redirect_chain == [(address, 302)]
        assert str(TenantNotFound("acme")).partition("'")[0] in response.content.decode()

    def test_an_admin_does_not_change_a_tenant(self, sign_in, tenant):
        client = sign_in("admin", tenant)
        client.post(reverse("admin:tenants_tenant_change", args=[tenant.pk]), {"display_name": "x", "store": "rows"})
        tenant.refresh_from_db()
        assert tenant.store == "default"
        assert client.post(reverse("admin:tenants_tenant_add"), {"name": "y", "store": "default"}).status_code == 403

    def test_an_admin_gives_and_takes_roles(self, sign_in, tenant):
        User.objects.create(username="bob")
        client = sign_in("admin", tenant)
        data = {"tenant": tenant.name, "username": "bob", "role": "scientist"}
        assert client.post(reverse("admin:tenants_member_add"), data).status_code == 302
        member = Member.objects.for_tenant(tenant).get(user__username="bob")
        assert member.role == "scientist"
        do(client, "tenants_member_remove", member)
        assert not Member.objects.for_tenant(tenant).filter(user__username="bob").exists()

    def test_an_operator_adds_and_locks_out_people(self, sign_in):
        client = sign_in("operator")
        data = {"username": "bob", "password": "correct horse battery"}
        assert client.post(reverse("admin:tenants_user_add"), data).status_code == 302
        bob = User.objects.get(username="bob")
        assert not bob.is_superuser
        do(client, "tenants_user_toggle", bob)
        bob.refresh_from_db()
        assert not bob.is_active

    def test_nobody_locks_themselves_out(self, sign_in):
        client = sign_in("operator", name="olga")
        response = do(client, "tenants_user_toggle", User.objects.get(username="olga"))
        assert "another operator" in response.content.decode()
        assert User.objects.get(username="olga").is_active
