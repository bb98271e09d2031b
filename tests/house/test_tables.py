"""Tables and migrations say the same."""

from __future__ import annotations

import io

import pytest
from django.apps import apps
from django.core.management import call_command

pytestmark = pytest.mark.django_db

_OURS = [app.label for app in apps.get_app_configs() if app.name.startswith("modelpool.")]


@pytest.mark.parametrize("label", _OURS)
def test_no_migration_is_missing(label):
    said = io.StringIO()
    try:
        call_command("makemigrations", label, check=True, dry_run=True, verbosity=1, stdout=said)
    except SystemExit:
        pytest.fail(f"run: modelpool manage makemigrations {label}\n{said.getvalue()}", pytrace=False)


def test_django_finds_nothing_to_complain_about():
    said = io.StringIO()
    call_command("check", stdout=said, stderr=said, fail_level="WARNING")
    assert "no issues" in said.getvalue()
