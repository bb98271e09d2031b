"""``…/models/{model}/train``: from a stored table, rows in the request, or a file sent with it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.urls import path, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool import conf
from modelpool.api.v1.documents.jobs import JobDocument, TrainRequest, present_job
from modelpool.core.errors import FieldError, Invalid, InvalidField
from modelpool.core.names import check_name
from modelpool.http.bodies import check, parse_strictly
from modelpool.http.idempotent_views import KeepsAnswer
from modelpool.http.openapi import BINARY, describe, form, reference
from modelpool.http.uploads import FORM, Upload, is_form, read_upload
from modelpool.http.views import ApiView
from modelpool.tenants.roles import Permission
from modelpool.training.data_formats import data_format_of
from modelpool.training.models import Dataset, TrainingJob
from modelpool.training.requests import check_column
from modelpool.training.services import (
    create_dataset,
    create_inline_dataset,
    discarded_on_error,
    get_dataset,
    submit_job,
)

_REQUEST = {"type": "string", "contentMediaType": "application/json", "contentSchema": reference(TrainRequest)}
_BODY: dict[str, Any] = {
    "application/json": TrainRequest,
    FORM: form({"data": BINARY, "request": _REQUEST}, required=["data", "request"]),
}


class TrainView(KeepsAnswer, ApiView):
    """Ask for a training."""

    permissions = {"POST": Permission.DEVELOP}

    @describe("Train a model", tag="models", body=_BODY, answer=JobDocument, status=202, once=True)
    def post(self, request: Request, tenant: str, model: str) -> Any:
        """Queue a job and answer with it; the model is created when it is new."""
        check_name(model, field="model")
        if not is_form(self.raw_request):
            body = self.read(TrainRequest)
            _check_sources(body, upload=None)
            return self.run_once(None, lambda: self._train(model, body, upload=None))
        limit_bytes = int(conf.settings().limits.max_dataset)
        upload = read_upload(self.raw_request, part="data", limit_bytes=limit_bytes, fields=("request",))
        body = check(parse_strictly(upload.fields.get("request", "{}").encode()), TrainRequest, at="request")
        _check_sources(body, upload=upload)
        return self.run_once(upload, lambda: self._train(model, body, upload=upload))

    def _train(self, model: str, body: TrainRequest, *, upload: Upload | None) -> Response:
        if body.dataset is not None:
            return self._submit(model, body, get_dataset(self.tenant, body.dataset))
        dataset = self._keep_data(body, upload)
        with discarded_on_error(dataset, actor=self.actor):
            if body.data is not None:
                check_column(body.target, names=[name.strip() for name in body.data.columns])
            return self._submit(model, body, dataset)

    def _keep_data(self, body: TrainRequest, upload: Upload | None) -> Dataset:
        if upload is not None:
            return create_dataset(
                self.tenant,
                chunks=upload.file.chunks(),
                format=data_format_of(media_type=upload.media_type, filename=upload.filename),
                actor=self.actor,
                filename=upload.filename,
            )
        assert body.data is not None
        return create_inline_dataset(self.tenant, columns=body.data.columns, rows=body.data.rows, actor=self.actor)

    def _submit(self, model: str, body: TrainRequest, dataset: Dataset) -> Response:
        with transaction.atomic():
            job = submit_job(
                self.tenant,
                model=model,
                trainer=body.trainer,
                dataset=dataset,
                actor=self.actor,
                target=body.target,
                params=body.params,
                activate=body.activate,
                tags=body.tags,
                timeout_s=body.timeout_s,
                memory_limit_bytes=body.memory_limit_bytes,
            )
            self.keeping(_accepted)(job)
        return _accepted(job)


def _accepted(job: TrainingJob) -> Response:
    name = job.tenant.name
    location = reverse("api-v1:job", args=[name, job.pk])
    return Response(present_job(job, tenant=name), status=202, headers={"Location": location})


def _check_sources(body: TrainRequest, *, upload: Upload | None) -> None:
    """Refuse none and two: whoever sends both a file and a dataset's id means one of them."""
    given = [name for name in ("dataset", "data") if getattr(body, name) is not None] + (["file"] if upload else [])
    if len(given) == 1:
        return
    detail = (
        "send exactly one of: 'dataset' (an id), 'data' (columns and rows), or a form with the file in its part 'data'."
    )
    if given:
        raise Invalid(f"data: {detail}", errors=[FieldError(name, detail) for name in given])
    raise InvalidField("data", detail, code="required")


urlpatterns = [
    path("tenants/<str:tenant>/models/<str:model>/train", TrainView.as_view(), name="train"),
]
