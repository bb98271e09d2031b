"""Traces as a collector gets them: OTLP over HTTP, by a real server that is asked, uploaded to, and trains."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelpool.core.errors import ConfigurationError
from modelpool.core.tracing import Tracer, check_tracing
from tests.servers.modelpool import inherited_environment, serve_modelpool
from tests.waiting import wait_until

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    """Takes spans, and keeps them by name with their attributes as a dictionary."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.services: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            self.services.add(names["service.name"])
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                values = {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}
                self.spans.append(
                    {
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "began": span.start_time_unix_nano,
                        "ended": span.end_time_unix_nano,
                        **values,
                    }
                )

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in list(self.spans) if span["name"] == name]

    def below(self, span: dict[str, Any]) -> list[dict[str, Any]]:
        found = [other for other in list(self.spans) if other["parent"] == span["id"]]
        return sorted(found, key=lambda other: (other["began"], other["ended"]))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ratio", "traceparent", "is_traced"),
    [
        (1.0, None, True),
        (0.0, None, False),
        (0.0, f"00-{CALLER}-{PARENT}-01", True),
        (1.0, f"00-{CALLER}-{PARENT}-00", False),
        (1.0, "nonsense", True),
        (0.0, "00-\xff-nonsense-01", False),
    ],
)
def test_what_the_caller_traces_is_traced_and_the_rest_is_sampled(collector, ratio, traceparent, is_traced):
    tracer = Tracer(collector.url, sample_ratio=ratio, service_name="pool", process="test")
    trace = tracer.begin(None if traceparent is None else traceparent.encode("latin-1"))
    assert (trace is not None) == is_traced
    if trace is not None:
        trace.mark("route")
        trace.mark("compute")
        trace.end("predict", {"modelpool.tenant": "acme"})
    tracer.close()
    if is_traced:
        (whole,) = collector.named("predict")
        assert whole["modelpool.tenant"] == "acme"
        assert [step["name"] for step in collector.below(whole)] == ["route", "compute"]
        is_of_caller = traceparent is not None and traceparent.endswith("-01")
        assert ((whole["trace"], whole["parent"]) == (CALLER, PARENT)) == is_of_caller
        assert all(
            whole["began"] <= step["began"] <= step["ended"] <= whole["ended"] for step in collector.below(whole)
        )
        assert collector.services == {"pool"}
    else:
        assert collector.spans == []


@pytest.mark.slow  # the exporter tries again for some seconds
def test_collector_that_is_away_disturbs_nobody(collector):
    collector.close()
    tracer = Tracer(collector.url, sample_ratio=1.0, service_name="pool", process="test")
    began = time.monotonic()
    for _ in range(100):
        trace = tracer.begin()
        assert trace is not None
        trace.end("predict", {})
    assert time.monotonic() - began < 5
    collector.__init__()  # type: ignore[misc]  for the fixture to close
    tracer._provider.shutdown()


def test_collector_that_hangs_does_not_hold_up_the_end(collector, monkeypatch):
    asked, answer = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        asked.set()
        answer.wait(60)

    monkeypatch.setattr(collector, "take", hang)
    monkeypatch.setattr("modelpool.core.tracing._END_S", 0.2)
    tracer = Tracer(collector.url, sample_ratio=1.0, service_name="pool", process="test")
    trace = tracer.begin()
    assert trace is not None
    trace.end("predict", {})
    closing = threading.Thread(target=tracer.close)
    closing.start()
    is_hanging = asked.wait(10)
    closing.join(5)
    has_ended = not closing.is_alive()
    answer.set()
    closing.join()
    assert is_hanging
    assert has_ended


def test_missing_libraries_and_bad_addresses_are_said(monkeypatch):
    check_tracing(None)
    check_tracing("http://localhost:4318")
    with pytest.raises(ConfigurationError, match=r"tracing\.endpoint: 'localhost:4318' is not an address"):
        check_tracing("localhost:4318")
    monkeypatch.setattr("modelpool.core.tracing.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'modelpool\[otel\]'"):
        check_tracing("http://localhost:4318")


def test_server_that_does_not_trace_does_not_import_the_libraries():
    code = "import modelpool.core.tracing, sys; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_predictions_uploads_and_jobs_of_a_server_are_traced(collector, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    settings = f'[tracing]\nendpoint = "{collector.url}"\nsample_ratio = 1.0\nservice_name = "pool-of-tests"\n'
    (home / "modelpool.toml").write_text(settings)
    with serve_modelpool(home, "--workers", "1", "--job-workers", "1") as served:
        key = _key(home)
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"{served.url}/api/v1/tenants/default", headers=headers, timeout=60) as api:
            job = _train(api)
            traced = {"traceparent": f"00-{CALLER}-{PARENT}-01"}
            path = "/models/sums/predict"
            assert api.post(path, json={"instances": [[1.0, 2.0]]}, headers=traced).status_code == 200
            assert api.post(path, json={"instances": [["x", 2.0]]}).status_code == 422
            assert httpx.post(f"{api.base_url}{path.lstrip('/')}", json={}).status_code == 401
            rows = {"columns": ["a"], "rows": [[1]], "name": "t"}
            assert api.post("/datasets", json=rows).status_code == 201
    (whole,) = [span for span in collector.named("predict") if span["trace"] == CALLER]
    assert whole["parent"] == PARENT
    named = [whole[f"modelpool.{name}"] for name in ("tenant", "model", "version")]
    assert named == ["default", "sums", 1]
    steps = [span["name"] for span in collector.below(whole)]
    assert steps[:2] == ["route", "load"]
    assert steps[-1] == "compute"
    assert sorted(span["http.response.status_code"] for span in collector.named("predict")) == [200, 422]
    (made,) = [span for span in collector.named("job") if span["modelpool.job"] == job]
    assert [span["name"] for span in collector.below(made)] == ["prepare", "train", "store"]
    assert collector.named("upload")
    assert collector.services == {"pool-of-tests"}


def _key(home: Path) -> str:
    command = [sys.executable, "-P", "-m", "modelpool", "key", "create", "--tenant", "default", "--role", "scientist"]
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["key"])


def _train(api: httpx.Client) -> str:
    rows = "a,b,sum\n" + "".join(f"{a},{b},{2 * a + b}\n" for a in range(20) for b in range(5))
    wish = {"trainer": "tabular_regressor", "target": "sum", "params": {"algorithm": "linear"}, "activate": "always"}
    trained = api.post("/models/sums/train", files={"data": ("t.csv", rows)}, data={"request": json.dumps(wish)})
    assert trained.status_code == 202, trained.text
    job: str = trained.json()["id"]
    wait_until(lambda: api.get(f"/jobs/{job}").json()["state"] not in ("queued", "running"), "the job", timeout_s=60)
    return job
