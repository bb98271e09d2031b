"""Parts of pages that are asked for when nobody is signed in any more."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from msgspec import structs

from modelpool import conf

pytestmark = pytest.mark.django_db

FRAGMENT = {"HX-Request": "true"}


def test_a_part_of_a_page_is_never_a_login_page(pool):
    for name in ("tenant-live", "tenant-serving", "jobs", "datasets"):
        response = Client().get(reverse(f"console:{name}", args=[pool.tenant.name]), headers=FRAGMENT)
        assert (response.status_code, response.content) == (401, b""), name
        assert "no-store" in response["Cache-Control"]


def test_nor_for_what_a_form_sends(pool):
    address = reverse("console:version-try", args=[pool.tenant.name, pool.model.name, 1])
    assert Client().post(address, {}, headers=FRAGMENT).status_code == 401


def test_whoever_has_a_session_and_no_role_any_more_is_told_so(pool, sign_in):
    ann = sign_in("viewer", pool.tenant)
    address = reverse("console:tenant-live", args=[pool.tenant.name])
    assert ann.get(address, headers=FRAGMENT).status_code == 200
    pool.tenant.is_active = False
    pool.tenant.save()
    assert ann.get(address, headers=FRAGMENT).status_code == 403


def test_a_part_of_a_page_is_no_step_of_signing_in_either(pool, sign_in, monkeypatch):
    sign_in_settings = structs.replace(conf.settings().sign_in, require_two_factor="everyone")
    settings = structs.replace(conf.settings(), sign_in=sign_in_settings)
    ann, address = sign_in("viewer", pool.tenant), reverse("console:tenant-live", args=[pool.tenant.name])
    monkeypatch.setattr(conf, "settings", lambda: settings)
    assert ann.get(address).status_code == 302
    assert ann.get(address, headers=FRAGMENT).status_code == 401
