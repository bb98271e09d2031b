"""Datasets: what was trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from modelpool.console.scoping import ScopedAdmin, TenantFilter, actor_for, post_action
from modelpool.tenants.roles import Permission
from modelpool.training import services
from modelpool.training.models import Dataset, TrainingJob


class DatasetAdmin(ScopedAdmin):
    """Datasets of the person's tenants."""

    page_template = "console/dataset.html"
    list_display = ("name", "tenant", "format", "n_rows", "size_bytes", "created_at", "created_by")
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
        return {"title": str(obj), "jobs": jobs[:20]}

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """Delete the dataset."""
        return {"remove": self.remove}

    @post_action(Permission.DEVELOP)
    def remove(self, request: HttpRequest, dataset: Dataset) -> HttpResponse:
        """Delete the dataset; models trained on it stay."""
        services.delete_dataset(dataset, actor=actor_for(request))
        messages.success(request, f"{dataset} is deleted.")
        return redirect("admin:training_dataset_changelist")
