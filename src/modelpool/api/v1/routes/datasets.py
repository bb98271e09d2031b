"""``/tenants/{tenant}/datasets``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import path, reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool import conf
from modelpool.api.v1.documents.datasets import DatasetDocument, InlineDataset, present_dataset, present_datasets
from modelpool.core.errors import InvalidField
from modelpool.http.bodies import media_type_of
from modelpool.http.filters import moment, one_of, text
from modelpool.http.idempotent_views import KeepsAnswer
from modelpool.http.openapi import BINARY, describe, form
from modelpool.http.paging import Listing, paginate
from modelpool.http.uploads import FORM, Upload, read_upload
from modelpool.http.views import ApiView, created, no_content
from modelpool.tenants.roles import Permission
from modelpool.training.data_formats import BY_TYPE, data_format_of
from modelpool.training.models import Dataset
from modelpool.training.services import create_dataset, create_inline_dataset, delete_dataset, get_dataset

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
    "application/json": InlineDataset,
}
_PARAMETERS = [
    OpenApiParameter("filename", str, description="The name of a file that is sent as the body."),
    OpenApiParameter("name", str, description="What people call it; by default the file's name."),
]


class DatasetsView(KeepsAnswer, ApiView):
    """The tables of a tenant."""

    permissions = {"GET": Permission.VIEW, "POST": Permission.DEVELOP}

    @describe("List datasets", tag="datasets", listing=LISTING, page=DatasetDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return a page, newest first."""
        rows = Dataset.objects.for_tenant(self.tenant)
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

    permissions = {"GET": Permission.VIEW, "DELETE": Permission.DEVELOP}

    @describe("Show a dataset", tag="datasets", answer=DatasetDocument)
    def get(self, request: Request, tenant: str, dataset: UUID) -> Response:
        """Return what is known of it."""
        return Response(present_dataset(get_dataset(self.tenant, dataset)))

    @describe("Delete a dataset", tag="datasets", status=204)
    def delete(self, request: Request, tenant: str, dataset: UUID) -> Response:
        """Delete it and its file; 409 while a job needs it."""
        delete_dataset(get_dataset(self.tenant, dataset), actor=self.actor)
        return no_content()


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
]
