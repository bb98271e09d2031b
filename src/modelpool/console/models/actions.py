"""What the buttons of a model's page do, beside those of traffic and copying."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from modelpool.console.forms import first_error
from modelpool.console.methods import by_method
from modelpool.console.models.best import best_of_pool
from modelpool.console.models.forms import UploadForm
from modelpool.console.models.places import chosen_versions, model_of, number_in, numbers_in
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.console.uploading import sent_file
from modelpool.core.errors import Conflict, InvalidField
from modelpool.http import activating
from modelpool.inference.current import current_host
from modelpool.registry import services
from modelpool.registry.models import RegisteredModel
from modelpool.registry.uploads import upload_version
from modelpool.tenants.roles import Permission

_MOST_DELETED = 200


def to_activated(page: TenantPage, model: RegisteredModel, number: int) -> HttpResponseRedirect:
    """Go to the model's page, which says that the version is active now and offers to undo it."""
    return HttpResponseRedirect(f"{page.url('model', model.name)}?activated={number}")


@tenant_action(Permission.DEVELOP)
def activate(page: TenantPage, model: str) -> HttpResponse:
    """Make a version the one that answers."""
    row, number = model_of(page, model), _number(page)
    version = activating.activate_version(row, number=number, actor=page.actor)
    return to_activated(page, row, version.number)


@tenant_action(Permission.DEVELOP)
def roll_back(page: TenantPage, model: str) -> HttpResponse:
    """Activate the version that was active before; with ``number``, only where it is still that one."""
    row = model_of(page, model)
    expected = number_in(page.request.POST.get("number", ""))
    version = activating.roll_back(row, actor=page.actor, to=expected)
    messages.success(page.request, _("Rolled back: version %(number)d is active.") % {"number": version.number})
    return page.redirect("model", row.name)


@tenant_action(Permission.DEVELOP)
def activate_best(page: TenantPage, model: str) -> HttpResponse:
    """Activate the best of the pool by a metric, if it is the version that the page promised."""
    row, posted = model_of(page, model), page.request.POST
    by, mode = posted.get("by", ""), posted.get("mode") or None
    promised, found = number_in(posted.get("number", "")), services.best_version(row, by=by, mode=mode)
    if promised is not None and promised != found:
        words = {"best": found, "promised": promised}
        raise Conflict(_("The best is version %(best)d by now, not %(promised)d; look again.") % words)
    version = activating.activate_best(row, by=by, mode=mode, actor=page.actor)
    return to_activated(page, row, version.number)


@tenant_action(Permission.DEVELOP)
def upload(page: TenantPage, model: str) -> HttpResponse:
    """Add a model file made elsewhere, which came with the form or in pieces before it."""
    row = model_of(page, model)
    form, sent = UploadForm(page.request.POST), sent_file(page)
    if not form.is_valid():
        raise InvalidField("file", first_error(form))
    version = upload_version(
        row,
        chunks=sent.chunks,
        filename=sent.filename,
        metadata=form.metadata(),
        actor=page.actor,
        host=current_host(),
        in_transaction=sent.taken,
        replaces_bytes=sent.replaces_bytes,
    )
    messages.success(page.request, _("Uploaded as version %(number)d.") % {"number": version.number})
    return page.redirect("version", row.name, version.number)


@tenant_page(Permission.DEVELOP)
def ask_to_delete_versions(page: TenantPage, model: str) -> HttpResponse:
    """Name what would be lost with the versions that the address names."""
    row = model_of(page, model)
    try:
        numbers = numbers_in(page.request.GET.getlist("v"))
        versions, problem = chosen_versions(row, numbers[:_MOST_DELETED]), ""
    except InvalidField as error:
        versions, problem = [], str(error)
    in_use = [version for version in versions if version.pk == row.active_version_id]
    return page.render(
        "console/models/delete_versions.html",
        title=_("Delete versions?"),
        crumbs=[(_("Models"), page.url("models")), (row.name, page.url("model", row.name))],
        status=200 if versions else 404,
        model=row,
        problem=problem,
        versions=[version for version in versions if version not in in_use],
        in_use=in_use,
        size_bytes=sum(version.size_bytes for version in versions if version not in in_use),
    )


@tenant_action(Permission.DEVELOP)
def delete_versions(page: TenantPage, model: str) -> HttpResponse:
    """Delete versions; the first that is in use ends it, and those before it are gone."""
    row = model_of(page, model)
    numbers = numbers_in(page.request.POST.getlist("v"))
    if not 1 <= len(numbers) <= _MOST_DELETED:
        raise InvalidField("v", _("choose from 1 to %(most)d versions.") % {"most": _MOST_DELETED})
    deleted = 0
    try:
        for number in numbers:
            services.delete_version(services.get_version(row, number), actor=page.actor)
            deleted += 1
    finally:
        if deleted:
            text = ngettext("%(count)d version is deleted.", "%(count)d versions are deleted.", deleted)
            messages.success(page.request, text % {"count": deleted})
    return page.redirect("model", row.name)


@tenant_action(Permission.DEVELOP)
def delete_model(page: TenantPage, model: str) -> HttpResponse:
    """Delete the model with all versions, once its name was typed."""
    row = model_of(page, model)
    if page.request.POST.get("confirmed") != row.name:
        raise InvalidField("confirmed", _("type the name of the model, %(name)s, to delete it.") % {"name": row.name})
    services.delete_model(row, actor=page.actor)
    messages.success(page.request, _("%(name)s is deleted.") % {"name": row.name})
    return page.redirect("models")


best = by_method(get=best_of_pool, post=activate_best)
deletion = by_method(get=ask_to_delete_versions, post=delete_versions)


def _number(page: TenantPage) -> int:
    number = number_in(page.request.POST.get("number", ""))
    if number is None:
        raise InvalidField("number", _("is the number of a version."))
    return number
