"""``…/versions/{n}/download``: the file of a version."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.request import Request

from modelpool.api.v1.routes.models import OfModel
from modelpool.core.errors import InvalidField, NotFound, VersionNotReady
from modelpool.core.formats.registry import FORMATS
from modelpool.http.downloads import send_artifact
from modelpool.http.openapi import BINARY, describe
from modelpool.registry.models import ModelVersion
from modelpool.registry.services import get_version
from modelpool.storage.models import Artifact
from modelpool.tenants.roles import Permission

_ARTIFACT = OpenApiParameter(
    "artifact",
    {"type": "string", "enum": ["model", "compiled"], "default": "model"},
    description="The file as trained or uploaded, or its compiled form.",
)


class DownloadView(OfModel):
    """The bytes of a version, as they were stored."""

    permissions = {"GET": Permission.DEVELOP}

    @describe(
        "Download a version's file",
        tag="versions",
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
    def get(self, request: Request, tenant: str, model: str, number: int) -> HttpResponseBase:
        """Stream it; ``ETag`` is its sha256, ``Range`` and ``If-Range`` continue an interrupted download.

        Where the operator lets clients fetch files from the store itself, the answer is 307 with a signed address.
        """
        version = get_version(self.model, number)
        if version.state != ModelVersion.State.READY:
            raise VersionNotReady(model, number, version.state)
        artifact, format_name = _chosen(version, request.GET.get("artifact", "model"))
        suffix = FORMATS[format_name].suffix if format_name in FORMATS else ""
        return send_artifact(self.raw_request, artifact, filename=f"{tenant}-{model}-{number}{suffix}")


def _chosen(version: ModelVersion, which: str) -> tuple[Artifact, str]:
    if which not in ("model", "compiled"):
        raise InvalidField("artifact", f"{which[:80]!r} is not 'model' or 'compiled'.")
    artifact = version.artifact if which == "model" else version.compiled
    if artifact is None:
        raise NotFound(f"Version {version.number} has no {which} file.")
    return artifact, version.format if which == "model" else version.serving_format


urlpatterns = [
    path(
        "tenants/<str:tenant>/models/<str:model>/versions/<number:number>/download",
        DownloadView.as_view(),
        name="download",
    ),
]
