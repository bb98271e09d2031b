"""``…/models/{model}/versions``: the pool, uploads into it, and one version."""

from __future__ import annotations

from typing import Any

from django.db.models import FloatField, QuerySet
from django.db.models.functions import Cast
from django.urls import path, reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool import conf
from modelpool.api.v1.documents.tenants import changes_of
from modelpool.api.v1.documents.uploads import VersionFromUpload
from modelpool.api.v1.documents.versions import VersionChanges, VersionDocument, present_version, present_versions
from modelpool.api.v1.routes.models import OfModel
from modelpool.core.errors import InvalidField
from modelpool.core.names import check_name
from modelpool.http.bodies import media_type_of, parse_strictly
from modelpool.http.filters import by_tag, identifier, moment, one_of, text
from modelpool.http.idempotent_views import KeepsAnswer
from modelpool.http.json_columns import ValueUnder
from modelpool.http.openapi import BINARY, describe, form
from modelpool.http.paging import Listing, paginate
from modelpool.http.uploads import FORM, Upload, clean_filename, read_upload
from modelpool.http.views import created, no_content
from modelpool.inference.current import current_host
from modelpool.registry.models import ModelVersion
from modelpool.registry.querysets import as_listed, versions_of
from modelpool.registry.services import delete_version, get_model, get_version, update_version
from modelpool.registry.uploads import upload_into_pool
from modelpool.storage.resumable import chunks_of, use_up, whole_upload
from modelpool.tenants.roles import Permission

_METRIC = "metrics."


def by_metric(rows: QuerySet[Any], name: str) -> tuple[QuerySet[Any], str] | None:
    """Order by ``metrics.accuracy`` and the like: of the versions that have the metric."""
    if not name.startswith(_METRIC):
        return None
    value = Cast(ValueUnder("metrics", name.removeprefix(_METRIC)), FloatField())
    return rows.annotate(metric_value=value).filter(metric_value__isnull=False), "metric_value"


LISTING = Listing(
    orders={"number": "number", "created_at": "created_at", "size_bytes": "size_bytes"},
    default="-number",
    distinct=("number",),
    filters={
        "state": one_of("state", list(ModelVersion.State.values)),
        "trust": one_of("level", list(ModelVersion.Trust.values)),
        "format": text("format"),
        "sha256": text("sha256"),
        "job": identifier("job_id"),
        "dataset": identifier("dataset_id"),
        "since": moment("created_at__gte"),
    },
    prefix_filters={"tags": by_tag},
    prepare=by_metric,
    extra=("include",),
)
_INCLUDE = OpenApiParameter("include", {"type": "string", "enum": ["figures"]}, description="Also the figures.")
_UPLOAD = {
    FORM: form(
        {"file": BINARY, "metadata": {"type": "string", "contentMediaType": "application/json"}}, required=["file"]
    ),
    "application/octet-stream": BINARY,
    "application/json": VersionFromUpload,
}
_FILENAME = OpenApiParameter(
    "filename", str, description="The name of a file that is sent as the body; its end may tell the format."
)


class VersionsView(KeepsAnswer, OfModel):
    """The pool of a model."""

    permissions = {"GET": Permission.VIEW, "POST": Permission.DEVELOP}

    @describe("List versions", tag="versions", listing=LISTING, page=VersionDocument, parameters=[_INCLUDE])
    def get(self, request: Request, tenant: str, model: str) -> Response:
        """Return a page, newest first; deleted ones where ``state=deleted`` asks for them."""
        with_figures = _asks_for_figures(request)
        pool = get_model(self.tenant, model, with_active=False)
        rows = versions_of(pool, with_deleted=request.GET.get("state") == ModelVersion.State.DELETED)
        rows = as_listed(rows, "artifact", "store")
        rows = rows if with_figures else rows.defer("figures")

        def present(versions: list[ModelVersion]) -> list[VersionDocument]:
            return present_versions(versions, with_figures=with_figures)

        return Response(paginate(self.raw_request, rows, listing=LISTING, present=present))

    @describe(
        "Upload a version",
        tag="versions",
        body=_UPLOAD,
        answer=VersionDocument,
        status=201,
        once=True,
        parameters=[_FILENAME],
    )
    def post(self, request: Request, tenant: str, model: str) -> Any:
        """Store the file, have a child process look at it, register it; the model is created when it is new."""
        check_name(model, field="model")
        if media_type_of(self.raw_request) == "application/json":
            body = self.read(VersionFromUpload)
            return self.run_once(None, lambda: self._take(body))
        limit_bytes = int(conf.settings().limits.max_upload)
        upload = read_upload(self.raw_request, part="file", limit_bytes=limit_bytes, fields=("metadata",))
        metadata = _metadata_of(upload)
        return self.run_once(upload, lambda: self._upload(upload, metadata))

    def _upload(self, upload: Upload, metadata: dict[str, Any]) -> Response:
        version = upload_into_pool(
            self.tenant,
            name=self.kwargs["model"],
            chunks=upload.file.chunks(),
            filename=upload.filename,
            metadata=metadata,
            actor=self.actor,
            host=current_host(),
            in_transaction=self.keeping(self._created),
        )
        return self._created(version)

    def _take(self, body: VersionFromUpload) -> Response:
        """Make a version of a whole upload, which is used up in the same transaction."""
        upload = whole_upload(self.tenant, body.upload)
        keep = self.keeping(self._created)

        def commit_both(version: ModelVersion) -> None:
            use_up(upload)
            keep(version)

        version = upload_into_pool(
            self.tenant,
            name=self.kwargs["model"],
            chunks=chunks_of(upload, on_chunk=self.attempt.renew if self.attempt else None),
            filename=clean_filename(body.filename or upload.filename),
            metadata=body.metadata(),
            expected_sha256=body.sha256,
            actor=self.actor,
            host=current_host(),
            in_transaction=commit_both,
            replaces_bytes=upload.length,
        )
        return self._created(version)

    def _created(self, version: ModelVersion) -> Response:
        shown = get_version(self.model, version.number)
        names = [self.tenant.name, shown.model.name, shown.number]
        return created(present_version(shown), location=reverse("api-v1:version", args=names))


class VersionView(OfModel):
    """One version."""

    permissions = {"GET": Permission.VIEW, "PATCH": Permission.DEVELOP, "DELETE": Permission.DEVELOP}

    @describe("Show a version", tag="versions", answer=VersionDocument, parameters=[_INCLUDE])
    def get(self, request: Request, tenant: str, model: str, number: int) -> Response:
        """Return it; with its figures where ``?include=figures`` asks for them."""
        return Response(present_version(get_version(self.model, number), with_figures=_asks_for_figures(request)))

    @describe("Change a version's tags or description", tag="versions", body=VersionChanges, answer=VersionDocument)
    def patch(self, request: Request, tenant: str, model: str, number: int) -> Response:
        """Change what is named; files and metrics never change."""
        changes = changes_of(self.read(VersionChanges))
        return Response(present_version(update_version(get_version(self.model, number), actor=self.actor, **changes)))

    @describe("Delete a version", tag="versions", status=204)
    def delete(self, request: Request, tenant: str, model: str, number: int) -> Response:
        """Delete it and its files; 409 while it is active or has an alias. Its number is never used again."""
        delete_version(get_version(self.model, number), actor=self.actor)
        return no_content()


def _asks_for_figures(request: Request) -> bool:
    asked = request.GET.get("include", "")
    if asked not in ("", "figures"):
        raise InvalidField("include", f"{asked[:80]!r} is not 'figures'.")
    return asked == "figures"


def _metadata_of(upload: Upload) -> dict[str, Any]:
    metadata = parse_strictly(upload.fields["metadata"].encode()) if upload.fields.get("metadata") else {}
    if not isinstance(metadata, dict):
        raise InvalidField("metadata", "must be a JSON object.")
    return metadata


_VERSIONS = "tenants/<str:tenant>/models/<str:model>/versions"
urlpatterns = [
    path(_VERSIONS, VersionsView.as_view(), name="versions"),
    path(f"{_VERSIONS}/<number:number>", VersionView.as_view(), name="version"),
]
