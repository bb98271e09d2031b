"""A web process holds no data-science library: it would cost 200 MB and seconds, and could parse what was uploaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.core.formats import hostile
from tests.sandbox import fresh_path
from tests.server.processes import children_running
from tests.servers.modelpool import inherited_environment, serve_modelpool

_HEAVY = {"pandas", "sklearn", "scipy", "pyarrow", "onnx", "skl2onnx", "skops", "joblib", "cloudpickle", "matplotlib"}
_FRAMEWORK = {"django", "rest_framework"}

_WEB = """
import django
django.setup()
from django.urls import get_resolver
import modelpool.server.asgi, modelpool.server.serving, modelpool.server.wsgi
get_resolver()._populate()
"""
_SUPERVISOR = "import modelpool.server.serve, modelpool.server.processes.supervisor"
_CLIENT = "import modelpool.server.cli"
_CORE = "import modelpool.core.errors, modelpool.core.trainer, modelpool.core.signature, modelpool.core.plugins"


@pytest.mark.slow
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


@pytest.mark.slow
def test_web_process_stays_lean_at_work():
    """It registers an uploaded ONNX file, serves it, and serves an estimator, all by processes of their own."""
    home, form = fresh_path("lean-server"), {"metadata": '{"activate": "always"}'}
    uploads = {"graph": (hostile.identity(), [1.0, 2.0]), "tree": (hostile.good_tree(), [1.0, 2.0, 3.0])}
    with serve_modelpool(home, "--workers", "1", "--job-workers", "0") as served:
        key = _command(home, "key", "create", "--tenant", "default", "--role", "scientist", "--json")["key"]
        (web,) = children_running(served.process.pid, "modelpool.server.web")
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"{served.url}/api/v1/tenants/default/models", headers=headers, timeout=60) as api:
            for name, (data, row) in uploads.items():
                made = api.post(f"/{name}/versions", files={"file": data}, data=form)
                assert made.status_code == 201, made.text
                answer = api.post(f"/{name}/predict", json={"instances": [row]})
                assert answer.status_code == 200, answer.text
        assert _libraries_in(web) & _HEAVY == set()
        (zygote,) = children_running(web, "modelpool.core.runtime.process.zygote")
        assert {"sklearn", "pandas"} <= _libraries_in(zygote)


def test_zygote_of_onnx_models_imports_nothing_else():
    """So that the first upload after a start waits for a quarter of a second, not for scikit-learn."""
    imported = _imported_by(
        "import modelpool.core.runtime.process.zygote, modelpool.core.runtime.process.model_process\n"
        "from modelpool.core.formats import FORMATS; FORMATS['onnx'].preload()"
    )
    assert "onnxruntime" in imported
    assert imported & (_HEAVY | _FRAMEWORK) == set()


def test_the_check_sees_imports():
    assert {"json", "django"} <= _imported_by("import json, django")


def _libraries_in(pid: int) -> set[str]:
    """Return the packages whose compiled parts a process has loaded; all heavy ones have some."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.partition("/site-packages/")[2].partition("/")[0] for line in lines}


def _command(home: Path, *arguments: str) -> dict[str, str]:
    command = [sys.executable, "-P", "-m", "modelpool", *arguments]
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    printed: dict[str, str] = json.loads(done.stdout)
    return printed


def _imported_by(code: str) -> set[str]:
    """Run ``code`` in a process of its own and return the top-level packages it holds afterwards."""
    ends = f"{code}\nimport sys; print('modules:', *sorted({{name.partition('.')[0] for name in sys.modules}}))"
    home = fresh_path("lean-home")
    environment = {**os.environ, "MODELPOOL_HOME": str(home), "DJANGO_SETTINGS_MODULE": "modelpool.server.settings"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ends], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("modules:")[2].split())
