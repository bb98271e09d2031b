"""What the buttons of a version's page do."""

from __future__ import annotations

import hashlib

import pytest

from modelpool.registry.models import ModelAlias, ModelVersion
from modelpool.registry.quarantine import quarantine_version
from modelpool.registry.services import set_alias
from tests.console.models.addresses import active_number
from tests.console.versions.conftest import address

pytestmark = pytest.mark.django_db


def send(client, name, version, **data):
    return client.post(address(name, version), data, follow=True)


@pytest.fixture
def client(sign_in, pool):
    return sign_in("scientist", pool.tenant)


@pytest.fixture
def version(pool):
    return pool.versions[1]


@pytest.fixture
def aliased(version, actor):
    set_alias(version.model, name="champion", number=version.number, actor=actor)
    return version


def names_of(version) -> list[str]:
    return list(ModelAlias.objects.for_tenant(version.tenant).filter(version=version).values_list("name", flat=True))


class TestAliases:
    def test_one_is_given(self, client, version):
        assert "champion names version 2" in send(client, "version-alias", version, alias=" champion ").text
        assert names_of(version) == ["champion"]

    def test_one_of_another_version_moves(self, client, pool, aliased):
        send(client, "version-alias", pool.versions[0], alias="champion")
        assert (names_of(pool.versions[0]), names_of(aliased)) == (["champion"], [])

    def test_a_name_that_is_none_is_refused_with_advice(self, client, version):
        assert "alias" in send(client, "version-alias", version, alias="No Name!").text
        assert names_of(version) == []

    def test_one_is_taken_away(self, client, aliased):
        send(client, "version-alias-delete", aliased, alias="champion")
        assert names_of(aliased) == []

    def test_only_from_the_version_that_has_it(self, client, pool, aliased):
        assert "has no alias" in send(client, "version-alias-delete", pool.versions[0], alias="champion").text
        assert names_of(aliased) == ["champion"]


class TestTheRest:
    def test_description_and_tags_are_changed(self, client, version):
        data = {"description": " For <b>spring</b> \r\n", "tag_name": ["team", ""], "tag_value": ["north", "lost"]}
        assert "Saved" in send(client, "version-describe", version, **data).text
        version.refresh_from_db()
        assert (version.description, version.tags) == ("For <b>spring</b>", {"team": "north"})

    def test_tags_beyond_the_limits_are_refused(self, client, version):
        send(client, "version-describe", version, tag_name=["x" * 300], tag_value=["y"])
        version.refresh_from_db()
        assert version.tags == {}

    def test_it_is_deleted_but_not_while_it_is_active_or_named(self, client, pool, aliased):
        assert "activate another" in send(client, "version-delete", pool.versions[0]).text
        assert "alias" in send(client, "version-delete", aliased).text
        send(client, "version-alias-delete", aliased, alias="champion")
        assert "Version 2 of churn is deleted" in send(client, "version-delete", aliased).text
        states = ModelVersion.objects.for_tenant(pool.tenant).order_by("number").values_list("state", flat=True)
        assert list(states) == ["ready", "deleted"]
        assert client.get(address("version", aliased)).status_code == 404

    def test_a_download_is_the_stored_file(self, client, version):
        response = client.get(address("version-download", version))
        content = b"".join(response.streaming_content)
        assert hashlib.sha256(content).hexdigest() == version.sha256
        assert response["Content-Disposition"].startswith("attachment")
        assert client.get(address("version-download", version), {"artifact": "compiled"}).status_code == 404
        assert client.get(address("version-download", version), {"artifact": "secrets"}).status_code == 404

    def test_the_compiled_file_is_downloaded(self, client, tenant, classifier, publish):
        trained = publish(tenant, classifier)
        response = client.get(address("version-download", trained), {"artifact": "compiled"})
        assert b"".join(response.streaming_content) == classifier.compiled


class TestQuarantine:
    @pytest.fixture
    def stopped(self, version):
        quarantine_version(version.pk, tenant_id=version.tenant_id, reason="it crashed")
        return version

    def test_an_admin_releases_it(self, sign_in, stopped):
        admin = sign_in("admin", stopped.tenant, name="ada")
        assert "is released from quarantine" in send(admin, "version-release", stopped).text
        stopped.refresh_from_db()
        assert stopped.quarantined_at is None

    def test_a_scientist_does_not(self, client, stopped):
        assert send(client, "version-release", stopped).status_code == 403
        stopped.refresh_from_db()
        assert stopped.quarantined_at is not None

    def test_it_is_not_activated(self, client, pool, stopped):
        assert "is in quarantine" in send(client, "version-activate", stopped).text
        assert active_number(pool) == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_version_that_answers_is_activated_and_the_way_back_is_offered(client, plane, tenant, classifier, publish):
    first = publish(tenant, classifier, activate="always")
    second = publish(tenant, classifier)
    shown = send(client, "version-activate", second).text
    assert "Undo: back to version 1" in shown
    first.model.refresh_from_db()
    assert first.model.active_version_id == second.pk
