"""Datasets: what was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from modelpool.console.scoping import ScopedAdmin, TenantFilter, actor_for, post_action
from modelpool.core.errors import InvalidField
from modelpool.http.downloads import send_artifact
from modelpool.tenants.roles import Permission
from modelpool.training import services
from modelpool.training.models import Dataset, TrainingJob
from modelpool.training.querysets import dataset_file

_SHOWN_COLUMNS = 200
_HEIGHT = 28


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as it is shown; ``bars`` are ``(x, height)`` of its histogram, in a picture of 100 by 28."""

    facts: Mapping[str, Any]
    bars: tuple[tuple[float, float], ...]
    width: float
    title: str

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> _Column:
        spread = facts.get("distribution")
        counts = spread["counts"] if spread else [count for _, count in facts.get("top", ())]
        if not counts:
            return cls(facts, (), 0.0, "")
        width, most = 100.0 / len(counts), max(counts) or 1
        bars = tuple((round(at * width, 2), round(_HEIGHT * count / most, 2)) for at, count in enumerate(counts))
        title = f"5 %, 25 %, 50 %, 75 %, 95 %: {', '.join(f'{q:.6g}' for q in spread['quantiles'])}" if spread else ""
        return cls(facts, bars, round(width * 0.9, 2), title)


def _end_of(day: str) -> datetime | None:
    if not day:
        return None
    try:
        return datetime.combine(date.fromisoformat(day), time(23, 59, 59), UTC)
    except ValueError as error:
        raise InvalidField("until", "must be a day such as 2030-01-31, or empty.") from error


class DatasetAdmin(ScopedAdmin):
    """Datasets of the person's tenants."""

    page_template = "console/dataset.html"
    list_display = ("name", "tenant", "state", "format", "n_rows", "size_bytes", "created_at", "created_by")
    list_filter = ("format", TenantFilter)
    search_fields = ("name", "tenant__name", "id")
    ordering = ("-created_at",)

    def page_context(self, request: HttpRequest, obj: Dataset) -> dict[str, Any]:
        """Show the columns, and the jobs that used it."""
        jobs = (
            TrainingJob.objects.for_tenant(obj.tenant)
            .filter(dataset=obj)
            .select_related("model")
            .order_by("-created_at")
        )
        columns = [_Column.of(column) for column in (obj.columns or [])[:_SHOWN_COLUMNS]]
        is_allowed = self.may(request, Permission.DEVELOP, obj)  # rows are shown to whom may download them
        preview = obj.preview if is_allowed else None
        return {"title": str(obj), "jobs": jobs[:20], "described": columns, "preview": preview}

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """Download its files, say how long it is kept, delete it."""
        return {"download": self.download, "keep": self.keep, "remove": self.remove}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave the previews of a list in the database."""
        return super().get_queryset(request).defer("preview")

    @post_action(Permission.DEVELOP)
    def download(self, request: HttpRequest, dataset: Dataset) -> HttpResponseBase:
        """Send the file as it came, or the Parquet file that training reads."""
        file, name = dataset_file(dataset, request.POST.get("artifact", "original"))
        return send_artifact(request, file, filename=name)

    @post_action(Permission.DEVELOP)
    def keep(self, request: HttpRequest, dataset: Dataset) -> None:
        """Have it deleted at the end of a day (UTC), or, without a date, keep it for good."""
        moment = _end_of(request.POST.get("until", ""))
        services.change_dataset(dataset, actor=actor_for(request), expires_at=moment, is_kept=moment is None)
        until = f"until {moment:%Y-%m-%d %H:%M} UTC" if moment else "for good"
        messages.success(request, f"{dataset} is kept {until}.")

    @post_action(Permission.DEVELOP)
    def remove(self, request: HttpRequest, dataset: Dataset) -> HttpResponse:
        """Delete the dataset; models trained on it stay."""
        services.delete_dataset(dataset, actor=actor_for(request))
        messages.success(request, f"{dataset} is deleted.")
        return redirect("admin:training_dataset_changelist")
