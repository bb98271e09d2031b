"""What the buttons of a version's page do."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from modelpool.console.models.actions import to_activated
from modelpool.console.models.forms import tags_in
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.console.versions.places import version_of
from modelpool.core.errors import AliasNotFound, InvalidField, ModelpoolError
from modelpool.http.activating import activate_version
from modelpool.http.downloads import send_artifact
from modelpool.registry import services
from modelpool.registry.models import ModelVersion
from modelpool.registry.quarantine import release_version
from modelpool.registry.querysets import aliases_of_versions
from modelpool.tenants.roles import Permission

_FILES = ("", "compiled")


@tenant_action(Permission.DEVELOP)
def activate(page: TenantPage, model: str, number: int) -> HttpResponse:
    """Make it the version that answers; the model's page offers to undo it."""
    version = version_of(page, model, number)
    activate_version(version.model, number=version.number, actor=page.actor)
    return to_activated(page, version.model, version.number)


@tenant_action(Permission.ADMINISTER)
def release(page: TenantPage, model: str, number: int) -> HttpResponse:
    """Let it out of quarantine, when it is what its maker signed."""
    version = version_of(page, model, number)
    release_version(version.model, number=version.number, actor=page.actor)
    messages.success(page.request, _("Version %(number)d is released from quarantine.") % {"number": version.number})
    return _back(page, version)


@tenant_action(Permission.DEVELOP)
def set_alias(page: TenantPage, model: str, number: int) -> HttpResponse:
    """Give the version a movable name, or take the one of another version over."""
    version = version_of(page, model, number)
    name = page.request.POST.get("alias", "").strip()
    services.set_alias(version.model, name=name, number=version.number, actor=page.actor)
    words = {"name": name, "number": version.number}
    messages.success(page.request, _("%(name)s names version %(number)d now.") % words)
    return _back(page, version)


@tenant_action(Permission.DEVELOP)
def remove_alias(page: TenantPage, model: str, number: int) -> HttpResponse:
    """Take a name away, if it still names this version."""
    version = version_of(page, model, number)
    name = page.request.POST.get("alias", "")
    if name not in aliases_of_versions([version]).get(version.pk, ()):
        raise AliasNotFound(version.model.name, name[:63])
    services.delete_alias(version.model, name=name, actor=page.actor)
    messages.success(page.request, _("%(name)s names no version any more.") % {"name": name})
    return _back(page, version)


@tenant_action(Permission.DEVELOP)
def describe(page: TenantPage, model: str, number: int) -> HttpResponse:
    """Change the description and the tags; all else of a version is fixed."""
    version = version_of(page, model, number)
    posted = page.request.POST
    if "description" not in posted:
        raise InvalidField("description", _("may be empty, but has to be sent."))
    text = posted["description"].replace("\r\n", "\n").strip()
    services.update_version(version, actor=page.actor, description=text, tags=tags_in(posted))
    messages.success(page.request, _("Saved."))
    return _back(page, version)


@tenant_action(Permission.DEVELOP)
def delete(page: TenantPage, model: str, number: int) -> HttpResponse:
    """Delete its files; its number is never used again."""
    version = version_of(page, model, number)
    services.delete_version(version, actor=page.actor)
    words = {"number": version.number, "name": version.model.name}
    messages.success(page.request, _("Version %(number)d of %(name)s is deleted.") % words)
    return page.redirect("model", version.model.name)


@tenant_page(Permission.DEVELOP)
def download(page: TenantPage, model: str, number: int) -> HttpResponseBase:
    """Send a file: the one as trained or uploaded, or with ``?artifact=compiled`` the compiled one."""
    version = version_of(page, model, number)
    which = page.request.GET.get("artifact", "")
    artifact = version.compiled if which == "compiled" else version.artifact
    if which not in _FILES or artifact is None:
        raise Http404
    name = artifact.filename or f"{version.model.name}-{version.number}"
    try:
        return send_artifact(page.request, artifact, filename=name)
    except ModelpoolError as error:
        messages.error(page.request, str(error))
        return _back(page, version)


def _back(page: TenantPage, version: ModelVersion) -> HttpResponseRedirect:
    return page.redirect("version", version.model.name, version.number)
