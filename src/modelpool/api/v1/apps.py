"""The Django app of the REST wire."""

from django.apps import AppConfig


class ApiV1Config(AppConfig):
    """REST, version 1."""

    name = "modelpool.api.v1"
    label = "api_v1"
