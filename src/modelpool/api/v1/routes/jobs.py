"""``/tenants/{tenant}/jobs``: the list, one job, cancelling, its log, and the trainers."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.jobs import (
    JobDocument,
    LogDocument,
    TrainerDocument,
    present_job,
    present_lines,
    present_trainers,
)
from modelpool.core.errors import InvalidField
from modelpool.http.filters import moment, one_of, text
from modelpool.http.idempotent_views import repeatable
from modelpool.http.openapi import describe
from modelpool.http.paging import Listing, paginate
from modelpool.http.views import ApiView
from modelpool.tenants.roles import Permission
from modelpool.training.models import TrainingJob
from modelpool.training.querysets import trainers
from modelpool.training.services import cancel_job, get_job, job_log

LISTING = Listing(
    orders={"created_at": "created_at"},
    default="-created_at",
    filters={
        "state": one_of("state", list(TrainingJob.State.values)),
        "model": text("model__name"),
        "trainer": text("trainer"),
        "since": moment("created_at__gte"),
    },
)
TRAINERS = Listing(orders={"name": "name"}, default="name", distinct=("name",))
MAX_LINES = 5000
_AFTER = OpenApiParameter(
    "after", {"type": "integer", "minimum": 0, "default": 0}, description="Only lines with a larger id."
)
_LIMIT = OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LINES, "default": 1000})


class JobsView(ApiView):
    """The trainings of a tenant."""

    permissions = {"GET": Permission.VIEW}

    @describe("List jobs", tag="jobs", listing=LISTING, page=JobDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return a page, newest first."""
        rows = TrainingJob.objects.for_tenant(self.tenant).select_related("model")

        def present(jobs: list[TrainingJob]) -> list[JobDocument]:
            return [present_job(job, tenant=self.tenant.name) for job in jobs]

        return Response(paginate(self.raw_request, rows, listing=LISTING, present=present))


class JobView(ApiView):
    """One training."""

    permissions = {"GET": Permission.VIEW}

    @describe("Show a job", tag="jobs", answer=JobDocument)
    def get(self, request: Request, tenant: str, job: UUID) -> Response:
        """Return state, progress and, when it is over, the version or the error."""
        return Response(present_job(get_job(self.tenant, job), tenant=self.tenant.name))


class CancelView(ApiView):
    """The end of a training before its time."""

    permissions = {"POST": Permission.DEVELOP}

    @describe("Cancel a job", tag="jobs", answer=JobDocument)
    @repeatable
    def post(self, request: Request, tenant: str, job: UUID) -> Response:
        """Cancel it; a running one stops within seconds. 409 when it is over already."""
        cancelled = cancel_job(get_job(self.tenant, job), actor=self.actor)
        return Response(present_job(cancelled, tenant=self.tenant.name))


class LogView(ApiView):
    """What a training says."""

    permissions = {"GET": Permission.VIEW}

    @describe(
        "Read a job's log",
        tag="jobs",
        parameters=[_AFTER, _LIMIT],
        answer=LogDocument,
        answers={(200, "text/plain"): {"type": "string"}},
    )
    def get(self, request: Request, tenant: str, job: UUID) -> HttpResponse:
        """Return lines: as plain text, or as JSON where ``Accept: application/json`` asks for it."""
        row = get_job(self.tenant, job)
        after = number_from(request.GET.get("after", "0"), name="after", ceiling=2**63 - 1)
        limit = number_from(request.GET.get("limit", "1000"), name="limit", ceiling=MAX_LINES) or 1
        lines = job_log(row, after=after, limit=limit)
        last = lines[-1].id if lines else after
        if "application/json" in request.headers.get("Accept", ""):
            is_complete = row.is_final and len(lines) < limit
            return Response(LogDocument(lines=present_lines(lines), after=last, is_complete=is_complete))
        text_of = "".join(f"{line.at:%Y-%m-%d %H:%M:%S} {line.text}\n" for line in lines)
        return HttpResponse(text_of, content_type="text/plain; charset=utf-8", headers={"X-Log-After": str(last)})


class TrainersView(ApiView):
    """What can be trained."""

    permissions = {"GET": Permission.ANY}

    @describe("List trainers", tag="jobs", listing=TRAINERS, page=TrainerDocument)
    def get(self, request: Request) -> Response:
        """Return names, and parameters as JSON Schema."""
        return Response(paginate(self.raw_request, trainers(), listing=TRAINERS, present=present_trainers))


def number_from(value: str, *, name: str, ceiling: int) -> int:
    """Return a number from 0 to ``ceiling``; raise 422 that names the parameter."""
    if not (value.isascii() and value.isdigit() and len(value) < 20 and int(value) <= ceiling):
        raise InvalidField(name, f"{value[:80]!r} is not a number from 0 to {ceiling}.")
    return int(value)


urlpatterns = [
    path("tenants/<str:tenant>/jobs", JobsView.as_view(), name="jobs"),
    path("tenants/<str:tenant>/jobs/<id:job>", JobView.as_view(), name="job"),
    path("tenants/<str:tenant>/jobs/<id:job>/cancel", CancelView.as_view(), name="cancel-job"),
    path("tenants/<str:tenant>/jobs/<id:job>/log", LogView.as_view(), name="job-log"),
    path("trainers", TrainersView.as_view(), name="trainers"),
]
