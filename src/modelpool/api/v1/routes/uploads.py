"""``/tenants/{tenant}/uploads``: files that go on where they broke off, by the tus 1.0.0 protocol (https://tus.io)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.uploads import UploadDocument, present_upload, present_uploads
from modelpool.http import tus
from modelpool.http.body_stream import BodyFile, content_length
from modelpool.http.idempotency import key_of
from modelpool.http.idempotent_views import KeepsAnswer
from modelpool.http.openapi import BINARY, describe
from modelpool.http.paging import Listing, paginate
from modelpool.http.pieces import receive
from modelpool.http.uploads import Upload as Sent
from modelpool.http.views import ApiView, created
from modelpool.storage.models import Upload
from modelpool.storage.resumable import begin_upload, delete_upload, get_upload, max_length
from modelpool.tenants.roles import Permission

LISTING = Listing(orders={"created_at": "created_at"}, default="-created_at", filters={})


def _header(name: str, description: str, *, required: bool = True) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description, required=required)


_TUS = _header("Tus-Resumable", "The protocol's version, `1.0.0`.")
_CHECKSUM = _header("Upload-Checksum", "`sha256` or `sha1`, a blank, the digest of the body in base64.", required=False)


class TusView(ApiView):
    """What both addresses have in common: the protocol's headers, and its way of naming a method."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Take ``X-HTTP-Method-Override`` for the method."""
        request.method = tus.method_of(request) if "upload" in kwargs else request.method
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Ask for the protocol's version, once it is known who asks; lists and documents need none."""
        super().initial(request, *args, **kwargs)
        if request.method not in ("GET", "OPTIONS"):
            tus.check_version(self.raw_request)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell the version that is spoken here; where another was asked for, that there is no other."""
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Tus-Resumable"] = tus.VERSION
        if final.status_code == 412 or request.method == "OPTIONS":
            final["Tus-Version"] = tus.VERSION
        if request.method == "OPTIONS" and final.status_code == 204:
            final["Tus-Extension"] = tus.EXTENSIONS
            final["Tus-Max-Size"] = str(max_length())
            final["Tus-Checksum-Algorithm"] = ",".join(tus.ALGORITHMS)
        return final


class UploadsView(KeepsAnswer, TusView):
    """The uploads of a tenant that nothing is made of yet."""

    permissions = {"GET": Permission.DEVELOP, "POST": Permission.DEVELOP}

    @describe("List unfinished uploads", tag="uploads", listing=LISTING, page=UploadDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return a page, newest first."""
        rows = Upload.objects.for_tenant(self.tenant)
        return Response(paginate(self.raw_request, rows, listing=LISTING, present=present_uploads))

    @describe(
        "Begin an upload",
        tag="uploads",
        body={tus.MEDIA_TYPE: BINARY},
        answer=UploadDocument,
        status=201,
        once=True,
        parameters=[
            _TUS,
            _header("Upload-Length", "The size of the whole file in bytes."),
            _header("Upload-Metadata", "Pairs of a key and base64; `filename`, `filetype` count.", required=False),
            _CHECKSUM,
        ],
    )
    def post(self, request: Request, tenant: str) -> Any:
        """Make an upload at the address in ``Location``; a body is its first bytes."""
        length, metadata = tus.number_of(self.raw_request, "Upload-Length"), tus.metadata_of(self.raw_request)
        size_bytes = content_length(self.raw_request)
        if size_bytes:
            tus.check_media_type(self.raw_request)
        upload: list[Upload] = []
        sent = Sent(
            file=BodyFile(lambda _: b"", size_bytes=0, rewind=lambda: None),
            media_type="",
            filename=metadata.filename,
            fields={"length": str(length), "metadata": metadata.sent, "first": str(size_bytes)},
        )

        def begin() -> Response:
            upload.append(
                begin_upload(
                    self.tenant,
                    length=length,
                    actor=self.actor,
                    metadata=metadata.sent,
                    filename=metadata.filename,
                    media_type=metadata.media_type,
                    in_transaction=self.keeping(_created),
                )
            )
            return _created(upload[0])

        response = self.run_once(sent, begin)
        if not upload:
            return self._as_it_stands(response)
        if not size_bytes:
            return response
        try:
            kept = receive(self.raw_request, upload[0], offset=0)
        except BaseException:
            if key_of(self.raw_request) is None:  # else the answer that is kept for the key names it
                delete_upload(upload[0], actor=self.actor)
            raise
        return _created(kept)

    def _as_it_stands(self, replayed: HttpResponse) -> HttpResponse | Response:
        """Tell how far the upload is by now, where the answer that was kept is of its beginning.

        A client sends on from ``Upload-Offset``: that of the beginning would only be refused. What is used up or given
        up is answered as it was, and its address is not found.
        """
        upload_id = replayed.headers["Location"].rpartition("/")[2]
        found = Upload.objects.for_tenant(self.tenant).select_related("tenant").filter(pk=upload_id).first()
        if found is None:
            return replayed
        response = _created(found)
        response["Idempotency-Replayed"] = replayed.headers["Idempotency-Replayed"]
        return response


class UploadView(TusView):
    """One upload."""

    permissions = {"GET": Permission.DEVELOP, "PATCH": Permission.DEVELOP, "DELETE": Permission.DEVELOP}

    @describe("Show an upload", tag="uploads", answer=UploadDocument)
    def get(self, request: Request, tenant: str, upload: UUID) -> Response:
        """Return how far it is, as JSON; ``HEAD`` tells it in headers."""
        found = get_upload(self.tenant, upload)
        return Response(present_upload(found), headers=tus.headers_of(found))

    def head(self, request: Request, tenant: str, upload: UUID) -> Response:
        """Return how far it is, in the protocol's headers."""
        found = get_upload(self.tenant, upload)
        headers = {**tus.headers_of(found), "Upload-Length": str(found.length)}
        if found.metadata:
            headers["Upload-Metadata"] = found.metadata
        return Response(status=200, headers=headers)

    @describe(
        "Continue an upload",
        tag="uploads",
        body={tus.MEDIA_TYPE: BINARY},
        parameters=[_TUS, _header("Upload-Offset", "Where these bytes begin."), _CHECKSUM],
        answers={
            204: OpenApiResponse(description="Kept; `Upload-Offset` tells how far it is."),
            460: OpenApiResponse(description="Not the bytes of `Upload-Checksum`; nothing of them is kept."),
        },
    )
    def patch(self, request: Request, tenant: str, upload: UUID) -> Response:
        """Keep the bytes of the body, which begin where the upload stands."""
        found = get_upload(self.tenant, upload)
        tus.check_media_type(self.raw_request)
        kept = receive(self.raw_request, found, offset=tus.number_of(self.raw_request, "Upload-Offset"))
        return Response(status=204, headers=tus.headers_of(kept))

    @describe("Give an upload up", tag="uploads", status=204, parameters=[_TUS])
    def delete(self, request: Request, tenant: str, upload: UUID) -> Response:
        """Delete it with its bytes."""
        delete_upload(get_upload(self.tenant, upload), actor=self.actor)
        return Response(status=204)


def _created(upload: Upload) -> Response:
    response = created(present_upload(upload), location=reverse("api-v1:upload", args=[upload.tenant.name, upload.pk]))
    for name, value in tus.headers_of(upload).items():
        response[name] = value
    return response


urlpatterns = [
    path("tenants/<str:tenant>/uploads", UploadsView.as_view(), name="uploads"),
    path("tenants/<str:tenant>/uploads/<id:upload>", UploadView.as_view(), name="upload"),
]
