"""All routes of version 1."""

from __future__ import annotations

from django.urls import URLPattern

from modelpool.api.v1.routes import (
    activation,
    dataset_sources,
    datasets,
    docs,
    download,
    job_events,
    jobs,
    keys,
    members,
    models,
    predict,
    tenants,
    traffic,
    train,
    uploads,
    versions,
)

app_name = "api-v1"
_OF_TENANTS = (tenants, members, keys, datasets, dataset_sources, uploads)
_OF_MODELS = (models, train, versions, download, activation, traffic, predict)
_OTHERS = (jobs, job_events, docs)
urlpatterns: list[URLPattern] = [route for noun in (*_OF_TENANTS, *_OF_MODELS, *_OTHERS) for route in noun.urlpatterns]
