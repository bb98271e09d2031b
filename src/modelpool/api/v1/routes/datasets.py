"""``/tenants/{tenant}/datasets``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from msgspec import UNSET
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool import conf
from modelpool.api.v1.documents.datasets import (
    DatasetChange,
    DatasetDocument,
    DatasetPreview,
    InlineDataset,
    present_dataset,
    present_datasets,
)
from modelpool.api.v1.documents.uploads import DatasetFromUpload
from modelpool.core.errors import Conflict, InvalidField
from modelpool.http.bodies import media_type_of, parse_strictly
from modelpool.http.body_stream import content_length
from modelpool.http.downloads import send_artifact
from modelpool.http.filters import moment, one_of, text
from modelpool.http.idempotent_views import KeepsAnswer
from modelpool.http.openapi import BINARY, any_of, describe, form
from modelpool.http.paging import Listing, paginate
from modelpool.http.uploads import FORM, Upload, clean_filename, read_upload
from modelpool.http.views import ApiView, created, no_content
from modelpool.storage.resumable import chunks_of, use_up, whole_upload
from modelpool.tenants.roles import Permission
from modelpool.training.data_formats import BY_TYPE, data_format_of
from modelpool.training.models import Dataset
from modelpool.training.querysets import dataset_file
from modelpool.training.services import (
    change_dataset,
    create_dataset,
    create_inline_dataset,
    delete_dataset,
    get_dataset,
)
from modelpool.training.tables.preview import MAX_ROWS

LISTING = Listing(
    orders={"created_at": "created_at", "size_bytes": "size_bytes"},
    default="-created_at",
    filters={
        "name": text("name"),
        "format": one_of("format", list(Dataset.Format.values)),
        "sha256": text("sha256"),
        "since": moment("created_at__gte"),
    },
)
_BODY: dict[str, Any] = {
    **dict.fromkeys(sorted(BY_TYPE), BINARY),
    FORM: form({"file": BINARY, "name": {"type": "string", "maxLength": 200}}, required=["file"]),
    "application/json": any_of(InlineDataset, DatasetFromUpload),
}
_PARAMETERS = [
    OpenApiParameter("filename", str, description="The name of a file that is sent as the body."),
    OpenApiParameter("name", str, description="What people call it; by default the file's name."),
]


_ROWS = OpenApiParameter("rows", int, description="How many, 1 to 50.")
_ARTIFACT = OpenApiParameter(
    "artifact",
    {"type": "string", "enum": ["original", "table"], "default": "original"},
    description="The file as it came, or the Parquet file that training reads.",
)


class DatasetsView(KeepsAnswer, ApiView):
    """The tables of a tenant."""

    permissions = {"GET": Permission.VIEW, "POST": Permission.DEVELOP}

    @describe("List datasets", tag="datasets", listing=LISTING, page=DatasetDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return a page, newest first."""
        rows = Dataset.objects.for_tenant(self.tenant).select_related("table").defer("preview")
        return Response(paginate(self.raw_request, rows, listing=LISTING, present=present_datasets))

    @describe(
        "Store a table",
        tag="datasets",
        body=_BODY,
        answer=DatasetDocument,
        status=201,
        once=True,
        parameters=_PARAMETERS,
    )
    def post(self, request: Request, tenant: str) -> Any:
        """Stream a file, as the body or as a form's part ``file``, or take inline rows as JSON."""
        if media_type_of(self.raw_request) == "application/json" and _names_upload(self.raw_request):
            named = self.read(DatasetFromUpload)
            return self.run_once(None, lambda: self._take(named))
        if media_type_of(self.raw_request) == "application/json":
            body = self.read(InlineDataset)
            return self.run_once(None, lambda: self._store_rows(body))
        limit_bytes = int(conf.settings().limits.max_dataset)
        upload = read_upload(self.raw_request, part="file", limit_bytes=limit_bytes, fields=("name",))
        format_name, name = (
            data_format_of(media_type=upload.media_type, filename=upload.filename),
            _name_of(upload, request),
        )
        return self.run_once(upload, lambda: self._store(upload, format_name, name))

    def _take(self, body: DatasetFromUpload) -> Response:
        """Make a dataset of a whole upload, which is used up in the same transaction."""
        upload = whole_upload(self.tenant, body.upload)
        filename = clean_filename(body.filename or upload.filename)

        def commit_both(dataset: Dataset) -> None:
            use_up(upload)
            self.keeping(_created)(dataset)

        dataset = create_dataset(
            self.tenant,
            chunks=chunks_of(upload, on_chunk=self.attempt.renew if self.attempt else None),
            format=data_format_of(media_type=upload.media_type, filename=filename),
            actor=self.actor,
            filename=filename,
            name=body.name,
            in_transaction=commit_both,
            expected_sha256=body.sha256,
            replaces_bytes=upload.length,
        )
        return _created(dataset)

    def _store(self, upload: Upload, format_name: str, name: str) -> Response:
        dataset = create_dataset(
            self.tenant,
            chunks=upload.file.chunks(),
            format=format_name,
            actor=self.actor,
            filename=upload.filename,
            name=name,
            in_transaction=self.keeping(_created),
        )
        return _created(dataset)

    def _store_rows(self, body: InlineDataset) -> Response:
        dataset = create_inline_dataset(
            self.tenant,
            columns=body.columns,
            rows=body.rows,
            actor=self.actor,
            name=body.name,
            in_transaction=self.keeping(_created),
        )
        return _created(dataset)


class DatasetView(ApiView):
    """One table."""

    permissions = {"GET": Permission.VIEW, "PATCH": Permission.DEVELOP, "DELETE": Permission.DEVELOP}

    @describe("Show a dataset", tag="datasets", answer=DatasetDocument)
    def get(self, request: Request, tenant: str, dataset: UUID) -> Response:
        """Return what is known of it."""
        return Response(present_dataset(get_dataset(self.tenant, dataset)))

    @describe("Change a dataset", tag="datasets", body=DatasetChange, answer=DatasetDocument)
    def patch(self, request: Request, tenant: str, dataset: UUID) -> Response:
        """Rename it, or say when it is deleted."""
        body = self.read(DatasetChange)
        changed = change_dataset(
            get_dataset(self.tenant, dataset),
            actor=self.actor,
            name=None if body.name is UNSET else body.name,
            expires_at=None if body.expires_at is UNSET else body.expires_at,
            is_kept=body.expires_at is None,
        )
        return Response(present_dataset(changed))

    @describe("Delete a dataset", tag="datasets", status=204)
    def delete(self, request: Request, tenant: str, dataset: UUID) -> Response:
        """Delete it and its file; 409 while a job needs it."""
        delete_dataset(get_dataset(self.tenant, dataset), actor=self.actor)
        return no_content()


class DatasetPreviewView(ApiView):
    """The first rows of a table."""

    permissions = {"GET": Permission.DEVELOP}

    @describe("Show a dataset's first rows", tag="datasets", answer=DatasetPreview, parameters=[_ROWS])
    def get(self, request: Request, tenant: str, dataset: UUID) -> Response:
        """Return up to 50 rows, as a worker read them; 409 until it has."""
        found = get_dataset(self.tenant, dataset)
        if found.preview is None:
            raise Conflict(found.warning or f"Dataset {found.pk} has not been read by a worker yet; ask again soon.")
        n_rows = _number_of_rows(request.GET.get("rows", str(MAX_ROWS)))
        preview = found.preview
        return Response(DatasetPreview(columns=preview["columns"], rows=preview["rows"][:n_rows]))


class DatasetDownloadView(ApiView):
    """The bytes of a dataset."""

    permissions = {"GET": Permission.DEVELOP}

    @describe(
        "Download a dataset's file",
        tag="datasets",
        parameters=[
            _ARTIFACT,
            OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="One range of bytes."),
        ],
        answers={
            (200, "application/octet-stream"): BINARY,
            (206, "application/octet-stream"): BINARY,
            307: OpenApiResponse(description="The store itself has it, at the address in ``Location``."),
        },
    )
    def get(self, request: Request, tenant: str, dataset: UUID) -> HttpResponseBase:
        """Stream the file as it came, or the Parquet file that training reads."""
        found = get_dataset(self.tenant, dataset)
        file, name = dataset_file(found, request.GET.get("artifact", "original"))
        return send_artifact(self.raw_request, file, filename=name)


def _number_of_rows(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_ROWS):
        raise InvalidField("rows", f"must be a number from 1 to {MAX_ROWS}.")
    return int(text)


def _names_upload(request: HttpRequest) -> bool:
    """Say whether the JSON body is about an upload; what is wrong with it is told when it is read."""
    if content_length(request) > int(conf.settings().limits.max_json):
        return False
    tree = parse_strictly(request.body)
    return isinstance(tree, dict) and "upload" in tree


def _created(dataset: Dataset) -> Response:
    return created(present_dataset(dataset), location=reverse("api-v1:dataset", args=[dataset.tenant.name, dataset.pk]))


def _name_of(upload: Upload, request: Request) -> str:
    name = upload.fields.get("name") or request.GET.get("name", "")
    if len(name) > 200 or not name.isprintable():
        raise InvalidField("name", "must be one line of at most 200 characters.")
    return name


urlpatterns = [
    path("tenants/<str:tenant>/datasets", DatasetsView.as_view(), name="datasets"),
    path("tenants/<str:tenant>/datasets/<id:dataset>", DatasetView.as_view(), name="dataset"),
    path("tenants/<str:tenant>/datasets/<id:dataset>/preview", DatasetPreviewView.as_view(), name="dataset-preview"),
    path("tenants/<str:tenant>/datasets/<id:dataset>/download", DatasetDownloadView.as_view(), name="dataset-download"),
]
