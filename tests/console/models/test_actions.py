"""What the buttons of a model's page do, and for whom."""

from __future__ import annotations

import hashlib

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.tenants import services
from modelpool.tenants.models import AuditEvent, Tenant, User
from tests.console.models.addresses import active_number, address, send
from tests.fixtures.onnx_files import adds

pytestmark = pytest.mark.django_db

ACTIONS = {
    "model-activate": {"number": "2"},
    "model-rollback": {},
    "model-best": {"by": "accuracy"},
    "model-upload": {},
    "model-copy": {"number": "2", "tenant": "umbrella", "name": "stolen"},
    "model-delete": {"confirmed": "churn"},
    "model-delete-versions": {"v": "2"},
    "model-edit": {"policy": "latest"},
}
SHOWS_A_FORM = {"model-best", "model-delete-versions", "model-edit"}


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("role", ["viewer", "predictor"])
def test_a_lesser_role_changes_nothing(sign_in, pool, role, name):
    client = sign_in(role, pool.tenant)
    assert send(client, name, pool, **ACTIONS[name]).status_code == 403
    if name in SHOWS_A_FORM:
        assert client.get(address(name, pool)).status_code == 403
    assert active_number(pool) == 1
    assert pool.model.policy["name"] == "best_metric"


@pytest.mark.parametrize("name", ACTIONS)
def test_another_tenants_model_is_not_there(sign_in, tenant, foreign_pool, name):
    client = sign_in("admin", tenant)
    assert send(client, name, foreign_pool, **ACTIONS[name]).status_code == 404
    assert client.get(address(name, foreign_pool)).status_code in (404, 405)
    mine = reverse(f"console:{name}", args=[tenant.name, foreign_pool.model.name])
    assert client.post(mine, ACTIONS[name]).status_code == 404
    assert active_number(foreign_pool) == 1


@pytest.mark.parametrize("name", sorted(ACTIONS.keys() - SHOWS_A_FORM))
def test_a_link_changes_nothing(sign_in, pool, name):
    assert sign_in("admin", pool.tenant).get(address(name, pool), ACTIONS[name]).status_code == 405


class TestActivating:
    def test_activation_can_be_undone_at_once(self, sign_in, pool):
        client = sign_in("scientist", pool.tenant)
        page = send(client, "model-activate", pool, number=2).content.decode()
        assert active_number(pool) == 2
        assert "Undo: back to version 1" in page
        assert "activated=2" not in page
        assert "Rolled back: version 1" in send(client, "model-rollback", pool, number=1).content.decode()
        assert active_number(pool) == 1
        assert AuditEvent.objects.filter(action="version.activate", actor_label="ann").count() == 2

    def test_undoing_twice_goes_back_once(self, sign_in, pool):
        client = sign_in("scientist", pool.tenant)
        send(client, "model-activate", pool, number=2)
        send(client, "model-rollback", pool, number=1)
        again = send(client, "model-rollback", pool, number=1)
        assert again.status_code == 200
        assert active_number(pool) == 1

    def test_an_old_address_offers_no_undo(self, sign_in, pool):
        page = sign_in("scientist", pool.tenant).get(address("model", pool), {"activated": "2"}).content.decode()
        assert "Undo" not in page

    @pytest.mark.parametrize("number", ["", "x", "99", "-1", "9" * 30, "٣"])
    def test_nonsense_is_an_error_on_the_page(self, sign_in, pool, number):
        assert send(sign_in("scientist", pool.tenant), "model-activate", pool, number=number).status_code == 200
        assert active_number(pool) == 1


class TestTheBest:
    def test_it_is_said_before_it_is_done(self, sign_in, pool):
        client, fragment = sign_in("scientist", pool.tenant), {"HX-Request": "true"}
        said = client.get(address("model-best", pool), {"by": "log_loss"}, headers=fragment).content.decode()
        assert "Activate version 2" in said
        assert "Smaller is better" in said
        turned = client.get(address("model-best", pool), {"by": "log_loss", "mode": "max"}, headers=fragment)
        assert "it is active already" in turned.content.decode()
        assert active_number(pool) == 1

    def test_it_is_activated_by_a_metric(self, sign_in, pool):
        client = sign_in("scientist", pool.tenant)
        send(client, "model-best", pool, by="log_loss", mode="", number=2)
        assert active_number(pool) == 2
        send(client, "model-best", pool, by="log_loss", mode="max", number=1)
        assert active_number(pool) == 1

    def test_another_one_than_was_promised_is_not_activated(self, sign_in, pool):
        page = send(sign_in("scientist", pool.tenant), "model-best", pool, by="accuracy", number=1).content.decode()
        assert "The best is version 2 by now, not 1" in page
        assert active_number(pool) == 1

    def test_an_error_is_shown_on_the_page(self, sign_in, pool):
        page = send(sign_in("scientist", pool.tenant), "model-best", pool, by="beauty")
        assert "beauty" in page.content.decode()
        assert active_number(pool) == 1


class TestUploading:
    @pytest.mark.slow
    @pytest.mark.django_db(transaction=True)
    def test_a_file_made_elsewhere_becomes_a_version(self, plane, sign_in, pool):
        client, data = sign_in("scientist", pool.tenant), adds(1)
        file = SimpleUploadedFile("m.onnx", data)
        said = {"activate": "always", "metrics": "accuracy = 0.97\nrmse: 3", "description": "by hand"}
        response = send(client, "model-upload", pool, file=file, **said)
        assert "Uploaded as version 3." in response.content.decode()
        assert active_number(pool) == 3
        made = ModelVersion.objects.for_tenant(pool.tenant).get(number=3)
        assert (made.sha256, made.trust) == (hashlib.sha256(data).hexdigest(), "uploaded-data")
        assert (made.metrics, made.description) == ({"accuracy": 0.97, "rmse": 3.0}, "by hand")
        refused = send(client, "model-upload", pool, file=SimpleUploadedFile("m.onnx", b"no model"))
        assert "Uploaded" not in refused.content.decode()
        assert ModelVersion.objects.for_tenant(pool.tenant).count() == 3

    def test_what_is_no_metric_is_said(self, sign_in, pool):
        said = {"file": SimpleUploadedFile("m.onnx", b"x"), "metrics": "accuracy = good"}
        page = send(sign_in("scientist", pool.tenant), "model-upload", pool, **said).content.decode()
        assert "is no metric" in page
        assert ModelVersion.objects.for_tenant(pool.tenant).count() == 2


class TestDeleting:
    def test_versions_go_after_a_page_that_names_what_is_lost(self, sign_in, pool):
        client = sign_in("scientist", pool.tenant)
        page = client.get(address("model-delete-versions", pool), {"v": ["1", "2"]}).content.decode()
        assert "Version 1 is active and stays" in page
        assert "<strong>v2</strong>" in page
        assert "<strong>v1</strong>" not in page
        send(client, "model-delete-versions", pool, v=["2"])
        states = ModelVersion.objects.for_tenant(pool.tenant).order_by("number").values_list("state", flat=True)
        assert list(states) == ["ready", "deleted"]

    def test_the_active_one_stays(self, sign_in, pool):
        page = send(sign_in("scientist", pool.tenant), "model-delete-versions", pool, v=["2", "1"]).content.decode()
        assert "1 version is deleted" in page
        assert "activate another" in page
        states = ModelVersion.objects.for_tenant(pool.tenant).order_by("number").values_list("state", flat=True)
        assert list(states) == ["ready", "deleted"]

    def test_a_model_goes_once_its_name_is_typed(self, sign_in, pool):
        client = sign_in("scientist", pool.tenant)
        assert "type the name" in send(client, "model-delete", pool, confirmed="yes").content.decode()
        assert RegisteredModel.objects.for_tenant(pool.tenant).exists()
        assert "churn is deleted" in send(client, "model-delete", pool, confirmed="churn").content.decode()
        assert not RegisteredModel.objects.for_tenant(pool.tenant).exists()


class TestTheForm:
    def new(self, tenant):
        return reverse("console:model-new", args=[tenant.name])

    def test_a_model_is_made(self, sign_in, tenant):
        client = sign_in("scientist", tenant)
        assert client.get(self.new(tenant)).status_code == 200
        said = {"policy": "best_metric", "metric": "rmse", "min_improvement": "0.5", "description": "Who leaves"}
        tags = {"tag_name": ["team", "", "stage"], "tag_value": ["north", "lost", "a\r\nb"]}
        assert client.post(self.new(tenant), {"name": "risk", **said, **tags}).status_code == 302
        made = RegisteredModel.objects.for_tenant(tenant).get()
        assert (made.name, made.description, made.created_by) == ("risk", "Who leaves", "ann")
        assert made.tags == {"team": "north", "stage": "a\nb"}
        assert made.policy == {"name": "best_metric", "metric": "rmse", "mode": None, "min_improvement": 0.5}

    def test_a_wrong_name_is_said_beside_it(self, sign_in, tenant):
        answer = sign_in("scientist", tenant).post(self.new(tenant), {"name": "Upper Case", "policy": "latest"})
        assert answer.status_code == 422
        assert "lower-case letters" in answer.content.decode()
        assert not RegisteredModel.unscoped.exists()

    def test_a_viewer_and_a_stranger_make_none(self, sign_in, tenant, other_tenant):
        data = {"name": "risk", "policy": "latest"}
        assert sign_in("viewer", tenant, name="vic").post(self.new(tenant), data).status_code == 403
        assert sign_in("admin", tenant).post(self.new(other_tenant), data).status_code == 404
        assert not RegisteredModel.unscoped.exists()

    def test_a_model_is_changed(self, sign_in, pool):
        client = sign_in("scientist", pool.tenant)
        assert pool.model.description in client.get(address("model-edit", pool)).content.decode()
        data = {"policy": "pinned", "description": "", "tag_name": ["a"], "tag_value": ["b"], "name": "other"}
        send(client, "model-edit", pool, **data)
        pool.model.refresh_from_db()
        changed = pool.model.name, pool.model.policy, pool.model.description, pool.model.tags
        assert changed == ("churn", {"name": "pinned"}, "", {"a": "b"})


class TestCopying:
    @pytest.fixture
    def client(self, sign_in, pool, other_tenant, actor):
        """The browser of a scientist of both tenants."""
        client = sign_in("scientist", pool.tenant)
        person = User.objects.get(pk=client.session["_auth_user_id"])
        services.set_member(other_tenant, user=person, role="scientist", actor=actor)
        return client

    def test_a_version_goes_to_another_tenant(self, client, pool, other_tenant):
        assert '<option value="umbrella">' in client.get(address("model", pool)).content.decode()
        data = {"number": "2", "tenant": "umbrella"}
        page = client.post(address("model-copy", pool), {**data, "name": "borrowed"}, follow=True).content.decode()
        assert "it is version 1 of borrowed of the tenant umbrella" in page
        copied = ModelVersion.objects.for_tenant(other_tenant).get()
        assert (copied.model.name, copied.sha256) == ("borrowed", pool.versions[1].sha256)
        assert copied.model.active_version is None

    def test_a_copy_says_where_it_comes_from(self, client, sign_in, pool, other_tenant):
        client.post(address("model-copy", pool), {"number": "2", "tenant": "umbrella", "name": "borrowed"})
        copy = reverse("console:version", args=["umbrella", "borrowed", 1])
        origin = reverse("console:version", args=["acme", "churn", 2])
        shown = client.get(copy).content.decode()
        for expected in ("a copy of", "acme/churn v2", "an upload there", "counts as an upload", origin):
            assert expected in shown
        assert str(pool.job.pk)[:8] not in shown
        stranger = sign_in("viewer", other_tenant, name="eve")
        shown = stranger.get(copy).content.decode()
        assert "acme/churn v2" in shown
        assert origin not in shown

    @pytest.mark.parametrize("wanted", ["", "acme", "nobody", "third"])
    def test_it_goes_nowhere_else(self, client, pool, wanted):
        Tenant.objects.create(name="third")
        data = {"number": "2", "tenant": wanted, "name": "borrowed"}
        page = client.post(address("model-copy", pool), data, follow=True).content.decode()
        assert "another tenant in which you may develop" in page
        assert ModelVersion.unscoped.count() == 2

    def test_who_only_looks_there_copies_nothing(self, sign_in, pool, other_tenant, actor):
        client = sign_in("scientist", pool.tenant)
        person = User.objects.get(pk=client.session["_auth_user_id"])
        services.set_member(other_tenant, user=person, role="viewer", actor=actor)
        assert "There is no other tenant" in client.get(address("model", pool)).content.decode()
        client.post(address("model-copy", pool), {"number": "2", "tenant": "umbrella", "name": "borrowed"})
        assert ModelVersion.unscoped.count() == 2
