"""A tenant's models: the list, and the page of one model with its pool of versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.decorators import display

from modelpool.console.formpage import form_page
from modelpool.console.forms import ModelForm, TrainForm, UploadForm, first_error
from modelpool.console.pool_table import pool_table
from modelpool.console.scoping import ScopedAdmin, TenantFilter, actor_for, may_somewhere, post_action
from modelpool.console.traffic import change_part, end_part, traffic_panel
from modelpool.core.errors import InvalidField
from modelpool.http import activating
from modelpool.inference.current import current_host
from modelpool.registry import services
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.uploads import upload_version
from modelpool.tenants.roles import Permission
from modelpool.training.data_formats import data_format_of
from modelpool.training.models import TrainerInfo, TrainingJob
from modelpool.training.services import create_dataset, discarded_on_error, submit_job


class ModelPoolAdmin(ScopedAdmin):
    """Models of the person's tenants."""

    page_template = "console/model.html"
    list_display = ("name", "tenant", "shown_active", "shown_versions", "shown_policy", "updated_at")
    list_filter = (TenantFilter,)
    search_fields = ("name", "description", "tenant__name")
    ordering = ("tenant__name", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RegisteredModel]:
        """Return models with what the list shows, in one query."""
        rows: QuerySet[RegisteredModel] = super().get_queryset(request)
        return rows.annotate(active_number=F("active_version__number"), n_versions=F("last_number"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Scientists make models."""
        return may_somewhere(request, Permission.DEVELOP)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Make an empty model; training and uploads fill it."""

        def save(form: ModelForm) -> HttpResponse:
            data = form.cleaned_data
            model = services.create_model(
                data["tenant"], name=data["name"], description=data["description"], actor=actor_for(request)
            )
            return redirect(self.page_url(model))

        return form_page(
            request, site=self.admin_site, opts=self.opts, form_class=ModelForm, title="New model", save=save
        )

    def page_context(self, request: HttpRequest, obj: RegisteredModel) -> dict[str, Any]:
        """Show the pool, the forms and the latest jobs."""
        return {
            "pool": pool_table(obj),
            "traffic": traffic_panel(obj),
            "jobs": TrainingJob.objects.for_tenant(obj.tenant).filter(model=obj).order_by("-created_at")[:10],
            "upload_form": UploadForm(),
            "train_form": TrainForm(trainers=_trainer_names()),
        }

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """What the buttons of the page do."""
        return {
            "rollback": self.roll_back,
            "best": self.activate_best,
            "canary": self.set_canary,
            "shadow": self.set_shadow,
            "promote": self.promote,
            "end": self.end_traffic,
            "upload": self.upload,
            "train": self.train,
            "remove": self.remove,
        }

    @post_action(Permission.DEVELOP)
    def roll_back(self, request: HttpRequest, model: RegisteredModel) -> None:
        """Activate the version that was active before."""
        version = activating.roll_back(model, actor=actor_for(request))
        messages.success(request, f"Rolled back: version {version.number} is active.")

    @post_action(Permission.DEVELOP)
    def activate_best(self, request: HttpRequest, model: RegisteredModel) -> None:
        """Activate the best of the pool by a metric."""
        by, mode = request.POST.get("by", ""), request.POST.get("mode") or None
        version = activating.activate_best(model, by=by, mode=mode, actor=actor_for(request))
        messages.success(request, f"Version {version.number} is the best by {by}, and active.")

    @post_action(Permission.DEVELOP)
    def set_canary(self, request: HttpRequest, model: RegisteredModel) -> None:
        """Let another version answer a part of the requests."""
        share = change_part(request, model, part="canary", actor=actor_for(request))
        messages.success(request, f"Version {share.version} answers {share.percent:g} % of the requests.")

    @post_action(Permission.DEVELOP)
    def set_shadow(self, request: HttpRequest, model: RegisteredModel) -> None:
        """Let another version see copies of the requests."""
        share = change_part(request, model, part="shadow", actor=actor_for(request))
        messages.success(request, f"Version {share.version} gets copies of {share.percent:g} % of the requests.")

    @post_action(Permission.DEVELOP)
    def promote(self, request: HttpRequest, model: RegisteredModel) -> None:
        """Activate the canary, which ends it."""
        version = activating.promote(model, actor=actor_for(request))
        messages.success(request, f"Version {version.number} is active; it is no canary any more.")

    @post_action(Permission.DEVELOP)
    def end_traffic(self, request: HttpRequest, model: RegisteredModel) -> None:
        """End the canary, the shadow, or all of the rule."""
        part = request.POST.get("part", "all")
        end_part(model, part=part, actor=actor_for(request))
        ended = f"The {part}" if part in ("canary", "shadow") else "The rule"
        messages.success(request, f"{ended} has ended; the figures stay.")

    @post_action(Permission.DEVELOP)
    def upload(self, request: HttpRequest, model: RegisteredModel) -> None:
        """Add a model file made elsewhere."""
        form = UploadForm(request.POST, request.FILES)
        if not form.is_valid():
            raise InvalidField("file", first_error(form))
        file = form.cleaned_data["file"]
        metadata = {"activate": "always" if form.cleaned_data["activate"] else "never"}
        version = upload_version(
            model,
            chunks=file.chunks(1 << 20),
            filename=file.name,
            metadata=metadata,
            actor=actor_for(request),
            host=current_host(),
        )
        messages.success(request, f"Uploaded as version {version.number}.")

    @post_action(Permission.DEVELOP)
    def train(self, request: HttpRequest, model: RegisteredModel) -> HttpResponse:
        """Start a training job and show its page."""
        form = TrainForm(request.POST, request.FILES, trainers=_trainer_names())
        if not form.is_valid():
            raise InvalidField("train", first_error(form))
        data, actor = form.cleaned_data, actor_for(request)
        file = data["file"]
        dataset = create_dataset(
            model.tenant,
            chunks=file.chunks(1 << 20),
            format=data_format_of(media_type=file.content_type or "", filename=file.name),
            filename=file.name,
            name=file.name,
            actor=actor,
        )
        with discarded_on_error(dataset, actor=actor):
            job = submit_job(
                model.tenant,
                model=model.name,
                trainer=data["trainer"],
                dataset=dataset,
                target=data["target"],
                params=data["params"],
                activate=data["activate"] or None,
                actor=actor,
            )
        return redirect("admin:training_trainingjob_change", object_id=str(job.pk))

    @post_action(Permission.DEVELOP)
    def remove(self, request: HttpRequest, model: RegisteredModel) -> HttpResponse:
        """Delete the model with all versions, after a page that names what will be lost."""
        if request.POST.get("confirmed") != model.name:
            lost = (
                ModelVersion.objects.for_tenant(model.tenant)
                .filter(model=model)
                .exclude(state=ModelVersion.State.DELETED)
            )
            context = {
                **self.admin_site.each_context(request),
                "title": f"Delete {model.name}?",
                "opts": self.opts,
                "object": model,
                "versions": lost.order_by("number"),
            }
            return TemplateResponse(request, "console/confirm_delete.html", context)
        services.delete_model(model, actor=actor_for(request))
        messages.success(request, f"{model.name} is deleted.")
        return redirect("admin:registry_registeredmodel_changelist")

    @display(description="Active version")
    def shown_active(self, model: Any) -> str:
        """Show the number of the version that answers."""
        return f"v{model.active_number}" if model.active_number else "none"

    @display(description="Versions made")
    def shown_versions(self, model: Any) -> int:
        """Show how many versions there have been."""
        return int(model.n_versions)

    @display(description="Policy")
    def shown_policy(self, model: RegisteredModel) -> str:
        """Show which policy activates versions."""
        return str(model.policy.get("name", ""))


def _trainer_names() -> list[str]:
    return list(TrainerInfo.objects.order_by("name").values_list("name", flat=True))
