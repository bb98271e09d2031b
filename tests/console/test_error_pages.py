"""What people see where a page is not there, is not theirs, or fails."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


def of(tenant, name, *args):
    return reverse(f"console:{name}", args=[tenant.name, *args])


def test_each_says_what_to_do_and_leads_back(sign_in, pool):
    vic, ann = sign_in("viewer", pool.tenant, name="vic"), sign_in("scientist", pool.tenant)
    stranger = Client(enforce_csrf_checks=True)
    too_many = {f"f{number}": "x" for number in range(2000)}
    for response, status, words in (
        (vic.get(of(pool.tenant, "model", "nothing")), 404, "There is nothing here"),
        (vic.get("/console/nowhere"), 404, "There is nothing here"),
        (vic.get(of(pool.tenant, "members")), 403, "You may not do this"),
        (stranger.post(of(pool.tenant, "model-activate", pool.model.name)), 403, "This form is too old"),
        (ann.post(of(pool.tenant, "model-activate", pool.model.name), too_many), 400, "This cannot be answered"),
    ):
        assert response.status_code == status
        assert words in response.text
        assert f'href="{reverse("console:home")}"' in response.text
        assert " style=" not in response.text
        assert "<script" not in response.text


def test_a_fault_of_ours_says_nothing_of_it():
    text = render_to_string("500.html")
    assert "tell an operator" in text
    assert f'href="{reverse("console:home")}"' in text


def test_what_is_anothers_looks_as_what_is_not_there(sign_in, pool, foreign_pool):
    ada, theirs = sign_in("admin", pool.tenant), foreign_pool
    nowhere = ada.get("/console/nowhere").content
    for address in (
        of(theirs.tenant, "tenant"),
        of(theirs.tenant, "model", theirs.model.name),
        of(pool.tenant, "model", theirs.model.name),
        of(pool.tenant, "job", theirs.job.pk),
        of(pool.tenant, "dataset", theirs.dataset.pk),
    ):
        response = ada.get(address)
        assert (response.status_code, response.content) == (404, nowhere), address
