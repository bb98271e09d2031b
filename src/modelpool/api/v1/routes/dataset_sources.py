"""``/tenants/{tenant}/datasets/import`` and ``dataset-sources``: tables from the operator's databases and stores."""

from __future__ import annotations

from typing import Any

from django.urls import path, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.datasets import (
    DatasetDocument,
    DatasetImport,
    DatasetSource,
    DatasetSources,
    present_dataset,
)
from modelpool.http.idempotent_views import KeepsAnswer
from modelpool.http.openapi import describe
from modelpool.http.views import ApiView
from modelpool.tenants.roles import Permission
from modelpool.training.models import Dataset
from modelpool.training.sources import request_dataset, sources_of


class DatasetImportView(KeepsAnswer, ApiView):
    """Tables from elsewhere."""

    permissions = {"POST": Permission.DEVELOP}

    @describe("Fetch a table", tag="datasets", body=DatasetImport, answer=DatasetDocument, status=202, once=True)
    def post(self, request: Request, tenant: str) -> Any:
        """Have a worker run a query or copy an object of the operator's sources; watch ``state`` and ``warning``."""
        body = self.read(DatasetImport)
        return self.run_once(None, lambda: self._request(body))

    def _request(self, body: DatasetImport) -> Response:
        dataset = request_dataset(
            self.tenant,
            source=body.source,
            parameters=body.parameters,
            path=body.object,
            name=body.name,
            expires_at=body.expires_at,
            actor=self.actor,
            in_transaction=self.keeping(_requested),
        )
        return _requested(dataset)


class DatasetSourcesView(ApiView):
    """Where tables may come from."""

    permissions = {"GET": Permission.VIEW}

    @describe("List the sources of datasets", tag="datasets", answer=DatasetSources)
    def get(self, request: Request, tenant: str) -> Response:
        """Return those that the operator lets this tenant use."""
        found = [
            DatasetSource(name, str(source.__struct_config__.tag), list(getattr(source, "parameters", ())))
            for name, source in sources_of(self.tenant).items()
        ]
        return Response(DatasetSources(found))


def _requested(dataset: Dataset) -> Response:
    location = reverse("api-v1:dataset", args=[dataset.tenant.name, dataset.pk])
    return Response(present_dataset(dataset), status=202, headers={"Location": location})


urlpatterns = [
    path("tenants/<str:tenant>/datasets/import", DatasetImportView.as_view(), name="dataset-import"),
    path("tenants/<str:tenant>/dataset-sources", DatasetSourcesView.as_view(), name="dataset-sources"),
]
