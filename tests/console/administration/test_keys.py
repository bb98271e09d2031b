"""Keys of programs: made, shown once, revoked."""

from __future__ import annotations

import pytest
from django.urls import reverse

from modelpool.tenants.authentication import find_principal
from modelpool.tenants.models import APIKey

pytestmark = pytest.mark.django_db


def make(client, tenant, **data):
    return client.post(reverse("console:key-new", args=[tenant.name]), {"name": "shop", **data})


def test_the_secret_is_shown_once(sign_in, tenant):
    client = sign_in("admin", tenant)
    response = make(client, tenant, role="predictor", expires_in_days="30")
    secret = response.context["secret"]
    principal = find_principal(secret)
    assert principal is not None
    assert (principal.role, principal.tenant_name) == ("predictor", tenant.name)
    assert "no-store" in response["Cache-Control"]
    assert f"Bearer {secret}" in response.text
    listed = client.get(reverse("console:keys", args=[tenant.name])).text
    assert secret not in listed
    assert secret[:8] in listed
    assert "expires soon" not in listed


def test_what_is_wrong_is_said_on_the_form(sign_in, tenant):
    client = sign_in("admin", tenant)
    for data, complaint in (
        ({"role": "operator"}, "operator is not one of the available choices"),
        ({"role": "viewer", "name": ""}, "This field is required"),
        ({"role": "viewer", "expires_in_days": "-1"}, "is not one of the available choices"),
        ({"role": "viewer", "name": "x\0y"}, "Null characters are not allowed"),
    ):
        answer = make(client, tenant, **data)
        assert answer.status_code == 422
        assert complaint in answer.text
    assert not APIKey.unscoped.exists()


def test_a_key_is_revoked(sign_in, tenant, make_key):
    secret = make_key("viewer", tenant)
    key = APIKey.objects.for_tenant(tenant).get()
    answer = sign_in("admin", tenant).post(reverse("console:key-revoke", args=[tenant.name, key.pk]), follow=True)
    assert "is revoked" in answer.text
    assert f"revoke-{key.pk}" not in answer.text
    assert find_principal(secret) is None


def test_keys_are_found_by_name_and_state(sign_in, tenant):
    client, address = sign_in("admin", tenant), reverse("console:keys", args=[tenant.name])
    make(client, tenant, role="viewer", expires_in_days="7")
    assert "expires soon" in client.get(address, {"q": "SHO", "revoked": "no"}).text
    assert "No key fits" in client.get(address, {"revoked": "yes"}).text
    assert "No key fits" in client.get(address, {"q": "pub"}).text


@pytest.mark.parametrize("question", ["digest=a", "prefix__regex=a", "tenant=umbrella"])
def test_keys_cannot_be_guessed_letter_by_letter(sign_in, tenant, question):
    address = reverse("console:keys", args=[tenant.name])
    assert sign_in("admin", tenant).get(f"{address}?{question}").status_code == 400


def test_keys_of_others_are_not_there(sign_in, tenant, other_tenant, make_key):
    foreign, operators = make_key("viewer", other_tenant), make_key("operator")
    client = sign_in("admin", tenant)
    listed = client.get(reverse("console:keys", args=[tenant.name])).text
    for key in APIKey.unscoped.all():
        assert key.prefix not in listed
        assert client.post(reverse("console:key-revoke", args=[tenant.name, key.pk])).status_code == 404
        assert client.post(reverse("console:operate-key-revoke", args=[key.pk])).status_code == 403
    assert find_principal(foreign) is not None
    assert find_principal(operators) is not None


def test_an_operator_makes_and_revokes_an_operators_key(sign_in):
    client = sign_in("operator")
    secret = client.post(reverse("console:operate-key-new"), {"name": "provisioning"}).context["secret"]
    assert find_principal(secret).is_operator
    assert "provisioning" in client.get(reverse("console:operate-keys")).text
    client.post(reverse("console:operate-key-revoke", args=[APIKey.unscoped.get().pk]))
    assert find_principal(secret) is None


def test_names_are_never_markup(sign_in, tenant):
    client = sign_in("admin", tenant)
    assert "<b>x</b>" not in make(client, tenant, role="viewer", name="<b>x</b>").text
    assert "<b>x</b>" not in client.get(reverse("console:keys", args=[tenant.name])).text


def test_the_list_asks_the_database_as_much_for_many_as_for_one(
    sign_in, tenant, make_key, django_assert_max_num_queries
):
    client, address = sign_in("admin", tenant), reverse("console:keys", args=[tenant.name])
    for amount in (1, 30):
        for _ in range(amount):
            make_key("viewer", tenant)
        with django_assert_max_num_queries(10):
            client.get(address)
