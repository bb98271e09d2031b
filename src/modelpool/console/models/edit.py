"""Making a model, and changing what is said of it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _

from modelpool.console.methods import attempt, by_method
from modelpool.console.models.forms import ModelForm, tags_in
from modelpool.console.models.listing import metrics_in_use
from modelpool.console.models.places import model_of
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.registry import services
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.roles import Permission

_EMPTY_ROWS = 2


@tenant_page(Permission.DEVELOP)
def show_new(page: TenantPage) -> HttpResponse:
    """Show the form of a new model."""
    return _form_page(page, ModelForm(), tags={}, model=None)


@tenant_action(Permission.DEVELOP)
def create(page: TenantPage) -> HttpResponse:
    """Make an empty model; training and uploads fill it."""
    form, tags = ModelForm(page.request.POST), tags_in(page.request.POST)

    def make(data: dict[str, Any]) -> RegisteredModel:
        return services.create_model(page.tenant, name=data["name"], tags=tags, actor=page.actor, **form.values())

    made = attempt(form, make)
    if made is None:
        return _form_page(page, form, tags=tags, model=None)
    messages.success(page.request, _("%(name)s is there. Now give it a version.") % {"name": made.name})
    return page.redirect("model", made.name)


@tenant_page(Permission.DEVELOP)
def show_edit(page: TenantPage, model: str) -> HttpResponse:
    """Show the form of a model that is there."""
    row = model_of(page, model)
    return _form_page(page, ModelForm(model=row), tags=row.tags, model=row)


@tenant_action(Permission.DEVELOP)
def update(page: TenantPage, model: str) -> HttpResponse:
    """Change description, policy, store and tags."""
    row, tags = model_of(page, model), tags_in(page.request.POST)
    form = ModelForm(page.request.POST, model=row)
    changed = attempt(form, lambda _data: services.update_model(row, tags=tags, actor=page.actor, **form.values()))
    if changed is None:
        return _form_page(page, form, tags=tags, model=row)
    messages.success(page.request, _("%(name)s is changed.") % {"name": row.name})
    return page.redirect("model", row.name)


def _form_page(
    page: TenantPage, form: ModelForm, *, tags: dict[str, str], model: RegisteredModel | None
) -> HttpResponse:
    crumbs = [(_("Models"), page.url("models"))]
    if model is not None:
        crumbs.append((model.name, page.url("model", model.name)))
    return page.render(
        "console/models/form.html",
        title=_("New model") if model is None else _("Change %(name)s") % {"name": model.name},
        crumbs=crumbs,
        status=422 if form.errors else 200,
        form=form,
        model=model,
        tags=[*tags.items(), *[("", "")] * _EMPTY_ROWS],
        metrics=metrics_in_use(page.tenant),
        back=page.url("models") if model is None else page.url("model", model.name),
    )


new_model = by_method(get=show_new, post=create)
edit_model = by_method(get=show_edit, post=update)
