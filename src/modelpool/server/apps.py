"""The Django app of the server: it has no tables, but commands."""

from django.apps import AppConfig


class ServerConfig(AppConfig):
    """Django's own ``migrate``, made fit for servers that go on."""

    name = "modelpool.server"
