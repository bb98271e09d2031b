"""A web process holds no data-science library: it would cost 200 MB and seconds, and could parse what was uploaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.sandbox import sandbox

_HEAVY = {"pandas", "sklearn", "scipy", "pyarrow", "onnx", "skl2onnx", "skops", "joblib", "cloudpickle", "matplotlib"}
_FRAMEWORK = {"django", "rest_framework"}

_WEB = """
import django
django.setup()
from django.urls import get_resolver
import modelpool.server.asgi, modelpool.server.serving, modelpool.server.wsgi
get_resolver()._populate()
"""
_SUPERVISOR = "import modelpool.server.serve, modelpool.server.supervisor"
_CLIENT = "import modelpool.server.cli"
_CORE = "import modelpool.core.errors, modelpool.core.trainer, modelpool.core.signature, modelpool.core.plugins"


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        pytest.param(_WEB, _HEAVY, id="web"),
        pytest.param(_SUPERVISOR, _HEAVY | _FRAMEWORK, id="supervisor"),
        pytest.param(_CLIENT, _HEAVY | _FRAMEWORK, id="command line"),
        pytest.param(_CORE, _FRAMEWORK, id="core"),
    ],
)
def test_process_does_not_import(code, forbidden):
    assert _imported_by(code) & forbidden == set()


def test_the_check_sees_imports():
    assert {"json", "django"} <= _imported_by("import json, django")


def _imported_by(code: str) -> set[str]:
    """Run ``code`` in a process of its own and return the top-level packages it holds afterwards."""
    ends = f"{code}\nimport sys; print('modules:', *sorted({{name.partition('.')[0] for name in sys.modules}}))"
    home = sandbox() / "lean-home"
    environment = {**os.environ, "MODELPOOL_HOME": str(home), "DJANGO_SETTINGS_MODULE": "modelpool.server.settings"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ends], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("modules:")[2].split())
