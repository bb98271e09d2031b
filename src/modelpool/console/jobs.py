"""Training jobs: the list with state and progress, and the page of one job with its log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from unfold.decorators import display

from modelpool.console.scoping import ScopedAdmin, TenantFilter, actor_for, post_action
from modelpool.registry.models import ModelVersion
from modelpool.tenants.roles import Permission
from modelpool.training import services
from modelpool.training.models import JobLogLine, TrainingJob

STATE_LABELS = {
    "queued": "info",
    "running": "primary",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
}
_LOG_LINES = 500


class JobAdmin(ScopedAdmin):
    """Jobs of the person's tenants."""

    page_template = "console/job.html"
    list_display = (
        "shown_id",
        "model",
        "tenant",
        "trainer",
        "shown_state",
        "shown_progress",
        "created_at",
        "finished_at",
    )
    list_filter = ("state", "trainer", TenantFilter)
    search_fields = ("id", "model__name", "tenant__name")
    ordering = ("-created_at",)
    list_select_related = ("model", "tenant")

    def page_context(self, request: HttpRequest, obj: TrainingJob) -> dict[str, Any]:
        """Show how it goes, and the end of its log."""
        return {"title": f"Job of {obj.model.name}", **_progress_context(obj)}

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """Cancel; and the part of the page that renews itself while the job runs."""
        return {"cancel": self.cancel, "live": self.live}

    @post_action(Permission.DEVELOP)
    def cancel(self, request: HttpRequest, job: TrainingJob) -> None:
        """Cancel the job."""
        services.cancel_job(job, actor=actor_for(request))
        messages.success(request, "The job is being cancelled.")

    def live(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the part that changes: state, progress, log; it changes nothing itself."""
        job = self.find(request, object_id)
        context = {"object": job, "may_develop": self.may(request, Permission.DEVELOP, job), **_progress_context(job)}
        return TemplateResponse(request, "console/job_live.html", context)

    @display(description="Job", ordering="id")
    def shown_id(self, job: TrainingJob) -> str:
        """Show the beginning of the id."""
        return str(job.pk)[:8]

    @display(description="State", ordering="state", label=STATE_LABELS)
    def shown_state(self, job: TrainingJob) -> str:
        """Show the state in colour."""
        return str(job.state)

    @display(description="Progress", ordering="progress")
    def shown_progress(self, job: TrainingJob) -> str:
        """Show how far it is."""
        return f"{job.progress:.0%} {job.stage}".strip()


def _progress_context(job: TrainingJob) -> dict[str, Any]:
    lines = JobLogLine.objects.filter(job=job, kind="log").order_by("-id")[:_LOG_LINES]
    version = ModelVersion.objects.for_tenant(job.tenant).filter(job_id=job.pk).first() if job.version_number else None
    return {
        "state_label": STATE_LABELS.get(job.state, "info"),
        "percent": round(job.progress * 100),
        "log": [line.text for line in reversed(lines)],
        "metrics": sorted(job.metrics.items()),
        "version": version,
    }
