"""Every command, against a real server and as people type it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.modelpool import inherited_environment
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]


def run(*arguments: str, stdin: str = "", check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``modelpool`` and return what it printed; ``check`` wants success."""
    command = [sys.executable, "-P", "-m", "modelpool", *arguments]
    env = inherited_environment() | environment
    done = subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, check=False, timeout=90)
    assert not check or done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def read_json(*arguments: str, **named: Any) -> Any:
    """Run a command with ``--json`` and return the document."""
    return json.loads(run(*arguments, "--json", **named).stdout)


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small table that is easily learnt."""
    path = tmp_path_factory.mktemp("data") / "flowers.csv"
    rows = [f"{1 + i % 7 * 0.1},{'red' if i % 2 else 'blue'},{'rose' if i % 2 else 'iris'}" for i in range(60)]
    path.write_text("\n".join(["length,colour,kind", *rows]) + "\n")
    return path


@pytest.fixture
def empty_home(tmp_path: Path) -> str:
    """A home where nothing was ever done."""
    return str(tmp_path / "home")


def test_help_and_version_need_no_server():
    assert run("--version").stdout.startswith("modelpool ")
    for group in ("", "tenant", "key", "user", "store", "config", "jobs", "traffic"):
        assert "Usage: modelpool" in run(*group.split(), "--help").stdout


def test_people_and_keys_of_a_home_that_was_never_served(empty_home):
    home = {"MODELPOOL_HOME": empty_home}
    run("tenant", "create", "acme", "--display-name", "Acme Inc.", **home)
    refused = run("tenant", "create", "acme", check=False, **home)
    assert (refused.returncode, "exists already" in refused.stderr) == (1, True)
    assert {row["name"] for row in read_json("tenant", "list", **home)} == {"acme", "default"}
    assert read_json("tenant", "show", "acme", **home)["models"] == 0

    key = read_json("key", "create", "--tenant", "acme", "--role", "predictor", "--expires", "30", **home)
    assert {"id", "key", "role"} <= set(key)
    assert (key["role"], key["tenant"], key["key"][:3]) == ("predictor", "acme", "mp_")
    assert [row["id"] for row in read_json("key", "list", "--tenant", "acme", **home)] == [key["id"]]
    run("key", "revoke", key["prefix"], "--tenant", "acme", **home)
    assert read_json("key", "list", "--tenant", "acme", **home) == []
    assert read_json("key", "list", "--tenant", "acme", "--all", **home)[0]["revoked_at"]
    assert read_json("key", "create", "--operator", **home)["tenant"] is None
    assert "--role" in run("key", "create", "--tenant", "acme", check=False, **home).stderr
    assert "no key 'nonsense'" in run("key", "revoke", "nonsense", check=False, **home).stderr

    run(
        "user",
        "create",
        "ann",
        "--password-stdin",
        "--tenant",
        "acme",
        "--role",
        "admin",
        stdin="a long pass phrase\n",
        **home,
    )
    run("user", "create", "bob", "--password-stdin", "--operator", stdin="another long phrase\n", **home)
    weak = run("user", "create", "eve", "--password-stdin", "--operator", stdin="123\n", check=False, **home)
    assert (weak.returncode, "too short" in weak.stderr) == (1, True)
    run("user", "password", "bob", "--password-stdin", stdin="yet another phrase\n", **home)
    people = {row["name"]: row for row in read_json("user", "list", **home)}
    assert (people["ann"]["roles"], people["bob"]["operator"]) == ({"acme": "admin"}, True)

    run("tenant", "suspend", "acme", **home)
    assert not read_json("tenant", "show", "acme", **home)["active"]
    run("tenant", "resume", "acme", **home)
    run("tenant", "delete", "acme", "--yes", **home)
    assert [row["name"] for row in read_json("tenant", "list", **home)] == ["default"]


def test_stores_and_settings(empty_home):
    home = ["--home", empty_home]
    assert {row["alias"]: row["kind"] for row in read_json("store", "list", *home)} == {
        "default": "filesystem",
        "rows": "database",
    }
    assert all(row["works"] for row in read_json("store", "check", *home))
    assert read_json("store", "sweep", "--dry-run", "--grace", "1h", *home)["is_dry_run"]
    assert run("store", "sweep", "--grace", "soon", *home, check=False).returncode == 2
    assert run("store", "check", "nowhere", *home, check=False).returncode == 1
    secret = "postgres://bob:hunter2@db.example.com/x"
    shown = run("config", "show", "--json", *home, MODELPOOL_DATABASE_URL=secret, MODELPOOL_SERVER_PORT="8123").stdout
    rows = {row["key"]: row for row in json.loads(shown)}
    assert (rows["server.port"]["value"], rows["server.port"]["origin"]) == (8123, "MODELPOOL_SERVER_PORT")
    assert rows["server.host"]["origin"] == "default"
    assert "hunter2" not in shown
    assert run("config", "show", *home, check=False, MODELPOOL_SERVER_PORT="high").returncode == 78


def test_files_are_verified_copied_and_moved(empty_home):
    home = ["--home", empty_home]
    assert read_json("store", "verify", *home)["damages"] == []
    assert read_json("store", "copy", "--to", "rows", *home)[0]["failed"] == {}
    (moved,) = read_json("store", "move", "--tenant", "default", "--to", "rows", "--keep", "0s", *home)
    assert (moved["tenant"], moved["files"], moved["failed"]) == ("default", 0, {})
    assert read_json("tenant", "show", "default", *home)["store"] == "rows"
    for wrong in (["--to", "nowhere"], ["--to", "rows", "--tenant", "nobody"], ["--to", "rows", "--keep", "long"]):
        refused = run("store", "move", *wrong, *home, check=False)
        assert refused.returncode in (1, 2)
        assert "Traceback" not in refused.stderr


def test_django_commands_are_passed_on(empty_home):
    assert "[ ] 0001_initial" in run("manage", "--home", empty_home, "showmigrations", "tenants").stdout
    run("manage", "migrate", "--verbosity", "0", MODELPOOL_HOME=empty_home)
    assert "[X] 0001_initial" in run("manage", "showmigrations", "tenants", MODELPOOL_HOME=empty_home).stdout
    assert "usage: modelpool manage migrate" in run("manage", "migrate", "--help", MODELPOOL_HOME=empty_home).stdout


def test_worker_ends_in_order(empty_home):
    run("tenant", "list", MODELPOOL_HOME=empty_home)  # makes the tables
    command = [sys.executable, "-P", "-m", "modelpool", "worker", "--home", empty_home]
    with subprocess.Popen(command, env=inherited_environment(), stderr=subprocess.PIPE, text=True) as worker:
        assert any("is ready" in line for line in worker.stderr)
        worker.terminate()
        assert worker.wait(30) == 0


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_doctor_finds_nothing_wrong_with_a_new_home(empty_home, json_option):
    run("tenant", "list", MODELPOOL_HOME=empty_home)
    done = run("doctor", "--home", empty_home, *json_option)
    if json_option:
        assert {finding["status"] for finding in json.loads(done.stdout)} <= {"ok", "warn"}
    else:
        assert "ok   database" in done.stdout


@pytest.mark.parametrize(
    ("file", "text", "mode", "named"),
    [
        ("modelpool.toml", "[server]\nportt = 1\n", 0o600, "portt"),
        ("secret_key", "short", 0o600, "weak secret"),
        ("secret_key", "x" * 60, 0o644, "chmod 600"),
        ("modelpool.sqlite3", "this is no database, but long enough to be taken for one" * 9, 0o600, "fail database"),
        ("modelpool.toml", '[database]\nurl = "postgres://x:y@127.0.0.1:1/z"\n', 0o600, "fail database"),
        (
            "modelpool.toml",
            '[stores.default]\nkind = "filesystem"\npath = "/proc/nowhere"\n',
            0o600,
            "fail store default",
        ),
    ],
)
def test_doctor_names_what_is_broken_and_the_remedy(tmp_path, file, text, mode, named):
    home = tmp_path / "home"
    home.mkdir()
    if file == "modelpool.toml":
        run("tenant", "list", MODELPOOL_HOME=str(home))
    (home / file).write_text(text)
    (home / file).chmod(mode)
    done = run("doctor", "--home", str(home), check=False)
    assert done.returncode == 1
    assert named in done.stdout
    assert "→" in done.stdout


def test_doctor_does_not_make_a_home(empty_home):
    run("doctor", "--home", empty_home)
    assert not Path(empty_home).exists()


@pytest.fixture(scope="module")
def client(live_server_process, tmp_path_factory) -> Run:
    """Run client commands, logged in with a scientist's key of the tenant ``default``."""
    home = {"MODELPOOL_HOME": str(live_server_process.home)}
    config = {"XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("config"))}
    key = read_json("key", "create", "--role", "scientist", **home)["key"]
    done = run("login", live_server_process.url, "--key-stdin", stdin=f"{key}\n", **config)
    assert "Logged in" in done.stderr
    saved = Path(config["XDG_CONFIG_HOME"]) / "modelpool" / "credentials.json"
    assert saved.stat().st_mode & 0o777 == 0o600

    def run_client(*arguments: str, **named: Any) -> subprocess.CompletedProcess[str]:
        return run(*arguments, **({**config, **named}))

    return run_client


@pytest.fixture(scope="module")
def document(client: Run) -> Callable[..., Any]:
    """Run a client command with ``--json`` and return what it prints."""
    return lambda *arguments, **named: json.loads(client(*arguments, "--json", **named).stdout)


@pytest.fixture(scope="module")
def jobs(document: Callable[..., Any], client: Run, flowers: Path) -> list[Any]:
    """Two finished jobs, which made versions 1 (activated) and 2 of the model ``flowers``."""
    options = ["--target", "kind", "--param", "algorithm=logistic_regression", "--tag", "by=me"]
    first = document("train", "flowers", str(flowers), *options, "--activate", "always")
    second = document("train", "flowers", str(flowers), *options, "--no-wait", "--activate", "never")
    assert "version  2" in client("jobs", "wait", second["id"]).stdout
    return [first, second]


_ROWS = '[{"length": 1.2, "colour": "red"}, {"length": 1.1, "colour": "blue"}]'


def test_who_and_what_can_be_trained(document):
    assert document("whoami")["role"] == "scientist"
    assert {"tabular_classifier", "tabular_regressor"} <= {row["name"] for row in document("trainers")}


def test_jobs_are_listed_shown_and_followed(client, document, jobs):
    job = jobs[0]
    assert (job["state"], job["version"]) == ("succeeded", 1)
    assert {row["id"] for row in document("jobs", "list", "--model", "flowers")} == {one["id"] for one in jobs}
    assert document("jobs", "show", job["id"])["params"] == {"algorithm": "logistic_regression"}
    log = client("jobs", "log", job["id"]).stdout
    assert log
    assert client("jobs", "log", job["id"], "--follow").stdout == log
    assert job["id"] in client("jobs").stdout
    over = client("jobs", "cancel", job["id"], check=False)
    assert (over.returncode, "succeeded already" in over.stderr) == (1, True)


def test_models_and_versions_are_listed_and_shown(client, document, jobs):
    assert document("models", "flowers")["name"] == "flowers"
    assert "flowers" in client("models").stdout
    assert [row["number"] for row in document("versions", "flowers", "--order", "number")] == [1, 2]
    assert document("versions", "flowers", "1")["tags"] == {"by": "me"}
    assert "accuracy" in client("versions", "flowers").stdout


def test_predictions_from_the_command_line_a_pipe_and_a_file(client, document, jobs, tmp_path):
    assert document("predict", "flowers", _ROWS, "--version", "1")["predictions"] == ["rose", "iris"]
    assert document("predict", "flowers", stdin='{"instances": [[1.2, "red"]]}')["predictions"] == ["rose"]
    table = tmp_path / "rows.csv"
    table.write_text("length,colour\n1.0,blue\n")
    with_classes = document("predict", "flowers", str(table), "--proba", "--version", "2")
    assert (with_classes["version"], with_classes["predictions"]) == (2, ["iris"])
    assert sum(with_classes["probabilities"][0]) == pytest.approx(1, abs=1e-5)
    assert "iris" in client("predict", "flowers", str(table), "--proba").stdout


def test_active_version_and_aliases_are_moved(client, document, jobs):
    client("activate", "flowers", "2")
    assert document("models", "flowers")["active_version"] == 2
    client("rollback", "flowers")
    assert document("models", "flowers")["active_version"] == 1
    assert document("activate", "flowers", "--by", "accuracy")["model"] == "flowers"
    client("activate", "flowers", "1")
    client("alias", "flowers", "champion", "2")
    assert document("alias", "flowers", "champion") == {"name": "champion", "version": 2}
    assert document("predict", "flowers", _ROWS, "--alias", "champion")["version"] == 2
    client("alias", "flowers", "champion", "--delete")
    assert client("alias", "flowers", "champion", check=False).returncode == 1


def test_traffic_is_divided_shown_compared_and_ended(client, document, jobs):
    client("activate", "flowers", "1")
    rule = document("traffic", "set", "flowers", "--canary", "2=100", "--sticky-header", "X-Customer")
    assert (rule["canary"], rule["sticky_header"]) == ({"version": 2, "percent": 100.0}, "X-Customer")
    assert document("traffic", "show", "flowers")["id"] == rule["id"]
    shown = client("traffic", "show", "flowers").stdout
    assert "version 2, 100 %" in shown
    wait_until(lambda: document("predict", "flowers", _ROWS)["version"] == 2, "the canary to answer")
    wait_until(lambda: document("traffic", "report", "flowers")["versions"], "its figures", timeout_s=30)
    report = document("traffic", "report", "flowers", "--since", "2020-01-01", "--rule", rule["id"])
    assert [row["version"] for row in report["versions"]] == [2]
    assert "p95" in client("traffic", "report", "flowers").stdout
    assert document("traffic", "report", "flowers", "--since", "2999-01-01")["versions"] == []
    split = document("traffic", "set", "flowers", "--split", "1=50", "--split", "2=50")
    assert [part["percent"] for part in split["split"]] == [50.0, 50.0]
    assert document("traffic", "set", "flowers", "--shadow", "2=10")["shadow"] == {"version": 2, "percent": 10.0}
    client("traffic", "end", "flowers")
    for command in ("show", "end", "report"):
        assert client("traffic", command, "flowers", check=False).returncode == 1


def test_traffic_that_is_wrong_is_refused_with_the_option_or_the_field(client, jobs):
    assert client("traffic", "set", "flowers", check=False).returncode == 2
    crooked = client("traffic", "set", "flowers", "--canary", "2", check=False)
    assert (crooked.returncode, "VERSION=PERCENT" in crooked.stderr) == (2, True)
    assert client("traffic", "report", "flowers", "--since", "soon", check=False).returncode == 2
    unknown = client("traffic", "set", "flowers", "--canary", "77=5", check=False)
    assert (unknown.returncode, "canary" in unknown.stderr) == (1, True)
    uneven = client("traffic", "set", "flowers", "--split", "1=50", "--split", "2=40", check=False)
    assert (uneven.returncode, "90" in uneven.stderr) == (1, True)


def test_files_are_pulled_pushed_and_deleted(client, document, jobs, tmp_path):
    pulled = document("pull", "flowers", "1", "-o", str(tmp_path))
    data = Path(pulled["path"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == pulled["sha256"] == document("versions", "flowers", "1")["sha256"]
    compiled = document("pull", "flowers", "1", "--compiled", "-o", str(tmp_path / "x.onnx"))
    assert (tmp_path / "x.onnx").stat().st_size == compiled["size_bytes"]
    pushed = document("push", "copy", str(tmp_path / "x.onnx"), "--metric", "accuracy=0.5", "--description", "a copy")
    assert (pushed["number"], pushed["format"], pushed["metrics"]) == (1, "onnx", {"accuracy": 0.5})
    client("activate", "copy", "1")
    active = client("delete", "copy", "1", "--yes", check=False)
    assert (active.returncode, "is active" in active.stderr) == (1, True)
    assert "modelpool activate copy 2" in client("push", "copy", str(tmp_path / "x.onnx")).stderr
    shown = client("versions", "copy", "2").stdout
    assert re.search(r"signature +inputs: *\n +name=", shown)
    assert "key of role admin" in client("release", "copy", "2", check=False).stderr
    client("delete", "copy", "2", "--yes")
    client("delete", "copy", "--yes")
    assert client("models", "copy", check=False).returncode == 1


def test_refusals_are_one_sentence_with_the_field(client, flowers):
    unknown = client("models", "nothing", check=False)
    assert (unknown.returncode, unknown.stderr) == (1, "modelpool: Tenant 'default' has no model 'nothing'.\n")
    bad = client("train", "bad", str(flowers), "--target", "kind", "--param", "algorithm=magic", check=False)
    assert bad.returncode == 1
    assert "algorithm" in bad.stderr
    failed = client("train", "bad2", str(flowers), "--target", "colour_of_hair", check=False)
    assert failed.returncode in (1, 5)
    assert "colour_of_hair" in failed.stderr
    assert client("train", "bad", check=False).returncode == 2
    assert client("train", "bad", "/no/such/file.csv", check=False).returncode == 2
    assert client("train", "bad", str(flowers), "--param", "novalue", check=False).returncode == 2
    assert client("activate", "bad", check=False).returncode == 2
    foreign = client("models", "--tenant", "someone", check=False)
    assert "There is no tenant 'someone'" in foreign.stderr
    client("delete", "bad2", "--yes", check=False)


def test_unknown_server_and_key_are_said(tmp_path):
    nothing = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert run("models", check=False, **nothing).returncode == 4
    no_key = run("models", check=False, MODELPOOL_URL="http://127.0.0.1:1", **nothing)
    assert (no_key.returncode, "No key for http://127.0.0.1:1" in no_key.stderr) == (4, True)
    silent = run("models", check=False, MODELPOOL_URL="http://127.0.0.1:1", MODELPOOL_KEY="mp_x", **nothing)
    assert (silent.returncode, "cannot be reached" in silent.stderr) == (3, True)


def test_saved_key_is_sent_to_its_own_server_only(tmp_path):
    folder = tmp_path / "modelpool"
    folder.mkdir()
    (folder / "credentials.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "key": "mp_saved"}))
    done = run("models", check=False, XDG_CONFIG_HOME=str(tmp_path), MODELPOOL_URL="http://127.0.0.1:2")
    assert (done.returncode, "No key for http://127.0.0.1:2" in done.stderr) == (4, True)


def test_wrong_key_is_refused_and_not_saved(live_server_process, tmp_path):
    done = run(
        "login", live_server_process.url, "--key-stdin", stdin="mp_wrong\n", check=False, XDG_CONFIG_HOME=str(tmp_path)
    )
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
