"""The same clients and tenants as the tests of the REST API."""

from tests.api.v1.conftest import *  # noqa: F403
