"""What a running job tells, and how much of it is kept."""

from __future__ import annotations

import pytest

from modelpool.tenants.models import Tenant
from modelpool.training import job_report
from modelpool.training.job_report import JobReport, clean_text
from modelpool.training.models import JobLogLine
from modelpool.training.queue import Claim, LeaseLost, claim_next, give_back
from tests.training.conftest import MakeJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def claim(tenant: Tenant, make_job: MakeJob) -> Claim:
    """The right to a job that runs."""
    make_job(tenant)
    taken = claim_next("host:1", lease_s=30)
    assert taken is not None
    return taken[0]


def texts() -> list[str]:
    return list(JobLogLine.objects.order_by("id").values_list("text", flat=True))


def test_lines_progress_and_metrics_are_written_together(claim: Claim, tenant: Tenant) -> None:
    report = JobReport(claim)
    report.log("one\ntwo")
    report.metric("loss", 0.5, 3)
    report.progress(0.4, "fitting")
    report.progress(0.2)  # never back
    report.write(now=True)
    [job] = [row.job for row in JobLogLine.objects.select_related("job")[:1]]
    assert (job.progress, job.stage, job.metrics) == (0.4, "fitting", {"loss": 0.5})
    assert texts() == ["one", "two", "loss = 0.5"]


def test_writes_are_few(claim: Claim) -> None:
    report = JobReport(claim)
    for number in range(100):
        report.log(f"line {number}")
        report.write()
    assert len(texts()) == 1  # the first; the others wait for their quarter of a second
    report.write(now=True)
    assert len(texts()) == 100


def test_a_lost_lease_keeps_the_report_out(claim: Claim) -> None:
    report = JobReport(claim)
    report.log("too late")
    give_back(claim)
    with pytest.raises(LeaseLost):
        report.write(now=True)
    assert texts() == []


def test_bytes_are_bounded_as_well_as_lines(claim: Claim) -> None:
    report = JobReport(claim)
    for _ in range(400):
        report.log("x" * 10_000)
    report.write(now=True)
    kept = texts()
    assert all(len(text) <= job_report.MAX_LINE_CHARACTERS for text in kept)
    assert sum(len(text) for text in kept) <= job_report.MAX_BYTES + 200
    assert "truncated" in kept[-1]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("plain\ttab", "plain\ttab"), ("\x1b[1;31mred\x1b[0m", "red"), ("a\x00b\x07c\ud800", "abc"), ("ü – ✓", "ü – ✓")],
)
def test_control_characters_are_left_out(given: str, kept: str) -> None:
    assert clean_text(given) == kept
