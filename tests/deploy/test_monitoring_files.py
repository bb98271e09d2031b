"""Dashboard, rules and reference page speak of metrics that exist, and of all of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelpool.core.metrics import catalogue
from modelpool.core.metrics.families import REGISTRY, Family
from tests.house.source import ROOT

DEPLOY = ROOT / "deploy"
_NAME = re.compile(r"\bmodelpool_[a-z0-9_]+")
_RECORDED = re.compile(r"\bmodelpool:[a-z0-9_:]+")
_SUFFIXES = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
_ROW = re.compile(r"^\| `(?P<name>modelpool_\w+)` \| (?P<kind>\w+) \| (?P<labels>[^|]*) \| (?P<text>[^|]+) \|$", re.M)


def _samples() -> set[str]:
    assert catalogue.PREDICTIONS.name in REGISTRY
    return {name + suffix for name, family in REGISTRY.items() for suffix in _SUFFIXES[family.kind]}


def _dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DEPLOY / "dashboards" / "modelpool.json").read_text())
    return loaded


def _expressions() -> list[str]:
    return [target["expr"] for panel in _dashboard()["panels"] for target in panel.get("targets", [])]


def _family_of(sample: str) -> Family:
    return REGISTRY.get(sample) or REGISTRY[sample.rpartition("_")[0]]


def test_dashboard_shows_all_metrics_and_no_others():
    named = {name for expression in _expressions() for name in _NAME.findall(expression)}
    assert named - _samples() == set()
    assert {_family_of(name).name for name in named} == set(REGISTRY)


def test_dashboard_is_laid_out_without_gaps_or_overlaps():
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert {variable["name"] for variable in _dashboard()["templating"]["list"]} >= {"tenant", "model", "node"}


def test_labels_in_expressions_are_those_of_the_metrics():
    for expression in [*_expressions(), (DEPLOY / "prometheus" / "rules.yml").read_text()]:
        for name, matchers in re.findall(r"(modelpool_[a-z0-9_]+)\{([^}]*)\}", expression):
            used = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers)) - {"instance", "job"}
            assert used <= set(_family_of(name).label_names), expression


def test_rules_name_metrics_that_exist_and_say_what_to_do():
    text = (DEPLOY / "prometheus" / "rules.yml").read_text()
    assert set(_NAME.findall(text)) - _samples() - set(REGISTRY) == set()
    recorded = set(re.findall(r"record: (\S+)", text))
    assert set(_RECORDED.findall(text)) == recorded
    alerts = text.split("- alert: ")[1:]
    assert len(alerts) >= 10
    for alert in alerts:
        assert "severity:" in alert
        assert "summary:" in alert
        assert "runbook:" in alert


def test_reference_page_lists_every_metric_as_it_is():
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = {row["name"]: row for row in _ROW.finditer(page)}
    assert set(rows) == set(REGISTRY)
    for name, family in REGISTRY.items():
        assert rows[name]["kind"] == family.kind
        assert re.findall(r"`(\w+)`", rows[name]["labels"]) == list(family.label_names)
        assert rows[name]["text"].strip() == family.text


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool found; run scripts/test-servers, or install it (Debian: prometheus)")
    return found


def test_prometheus_loads_rules_and_example(promtool):
    for arguments in (["check", "rules", "rules.yml"], ["check", "config", "--syntax-only", "prometheus.yml"]):
        done = subprocess.run(
            [promtool, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_understands_every_expression_of_the_dashboard(promtool, tmp_path: Path):
    filled = [re.sub(r"\$__rate_interval", "5m", expression) for expression in _expressions()]
    rules = "".join(f"  - record: panel:{at}\n    expr: {json.dumps(text)}\n" for at, text in enumerate(filled))
    (tmp_path / "rules.yml").write_text(f"groups:\n- name: panels\n  rules:\n{rules}")
    done = subprocess.run(
        [promtool, "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(filled)} rules found" in done.stdout


_RULES_TEST = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'up{{job="modelpool", instance="one"}}'
        values: '1x10 0x30'
      - series: 'modelpool_ready{{instance="one"}}'
        values: '1x10 0x30'
      - series: 'modelpool_feed_read_timestamp_seconds{{instance="one"}}'
        values: '0+60x10 600x30'
      - series: 'modelpool_predictions_total{{instance="one", status="200", wire="v1"}}'
        values: '0+600x40'
      - series: 'modelpool_predictions_total{{instance="one", status="503", wire="v1"}}'
        values: '0x10 0+60x30'
      - series: 'modelpool_rejected_total{{instance="one", reason="overloaded"}}'
        values: '0x10 0+60x30'
      - series: 'modelpool_model_quarantines_total{{instance="one"}}'
        values: '0x10 1x30'
      - series: 'modelpool_model_restarts_total{{instance="one"}}'
        values: '0x10 0+2x30'
      - series: 'modelpool_pool_evictions_total{{instance="one"}}'
        values: '0x10 0+60x60'
      - series: 'modelpool_pool_eviction_age_seconds_bucket{{instance="one", le="10.0"}}'
        values: '0x10 0+60x60'
      - series: 'modelpool_pool_eviction_age_seconds_bucket{{instance="one", le="+Inf"}}'
        values: '0x10 0+60x60'
    alert_rule_test:
{expected}
"""
_FIRES = {
    "ModelpoolDown": 15,
    "ModelpoolNotReady": 15,
    "ModelpoolFeedStale": 15,
    "ModelpoolErrors": 25,
    "ModelpoolOverloaded": 25,
    "ModelpoolQuarantine": 15,
    "ModelpoolModelsRestart": 20,
    "ModelpoolEvictionThrash": 40,
}


@pytest.mark.slow
def test_alerts_fire_when_they_should_and_not_before(promtool, tmp_path: Path):
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", tmp_path)
    quiet = "".join(f"      - eval_time: 9m\n        alertname: {name}\n        exp_alerts: []\n" for name in _FIRES)
    (tmp_path / "quiet.yml").write_text(_RULES_TEST.format(expected=quiet))
    done = subprocess.run(
        [promtool, "test", "rules", "quiet.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name, minute in _FIRES.items():
        expected = f"      - eval_time: {minute}m\n        alertname: {name}\n        exp_alerts: []\n"
        (tmp_path / "loud.yml").write_text(_RULES_TEST.format(expected=expected))
        done = subprocess.run(
            [promtool, "test", "rules", "loud.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0, f"{name} does not fire"
        assert "got:[" in done.stdout + done.stderr
        assert name in done.stdout + done.stderr


_NO_ERRORS = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'modelpool_predictions_total{instance="one", status="200", wire="v1"}'
        values: '0+600x20'
    promql_expr_test:
      - expr: modelpool:prediction_errors:ratio5m
        eval_time: 15m
        exp_samples: [{labels: 'modelpool:prediction_errors:ratio5m{instance="one"}', value: 0}]
      - expr: PANEL
        eval_time: 15m
        exp_samples: [{labels: '{}', value: 0}]
"""


def test_share_of_errors_is_nought_and_not_missing_where_nothing_failed(promtool, tmp_path: Path):
    (panel,) = [text for text in _expressions() if 'status=~"5.."' in text]
    panel = re.sub(r"\$__rate_interval", "5m", re.sub(r'"\$(tenant|model|node)"', '".*"', panel))
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", tmp_path)
    (tmp_path / "test.yml").write_text(_NO_ERRORS.replace("PANEL", json.dumps(panel)))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
