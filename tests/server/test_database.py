from __future__ import annotations

from pathlib import Path

import pytest
from psycopg import conninfo

from modelpool.conf import DatabaseSettings, Home
from modelpool.core.errors import ConfigurationError
from modelpool.server.database import database_settings

HOME = Home(Path("/srv/pool"))


def test_a_postgres_address_and_its_query_become_options_that_the_driver_knows():
    url = "postgres://ann:p%40ss@db.example:5433/pool?sslmode=require&tcp_user_timeout=900"
    made = database_settings(DatabaseSettings(url=url), home=HOME)
    assert (made["USER"], made["PASSWORD"], made["HOST"], made["PORT"]) == ("ann", "p@ss", "db.example", "5433")
    options = {str(name): str(value) for name, value in made["OPTIONS"].items()}
    assert (options["sslmode"], options["tcp_user_timeout"]) == ("require", "900")
    assert conninfo.conninfo_to_dict(conninfo.make_conninfo(**options)) == options  # it knows every name


def test_a_vanished_postgres_server_is_given_up_within_half_a_minute():
    options = database_settings(DatabaseSettings(url="postgres://ann@db/pool"), home=HOME)["OPTIONS"]
    silence_s = options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"]
    assert silence_s <= 30
    assert options["tcp_user_timeout"] <= 30_000


@pytest.mark.parametrize("url", ["mysql://a@b/c", "postgres://a@b", "sqlite://", "sqlite://host/file", "nonsense"])
def test_another_address_is_refused_by_name(url: str):
    with pytest.raises(ConfigurationError, match=r"database\.url"):
        database_settings(DatabaseSettings(url=url), home=HOME)


def test_a_pool_is_of_connections_to_postgres():
    made = database_settings(DatabaseSettings(url="postgres://ann@db/pool", pool=3), home=HOME)
    assert (made["CONN_MAX_AGE"], made["OPTIONS"]["pool"]["max_size"]) == (0, 3)
    with pytest.raises(ConfigurationError, match=r"database\.pool"):
        database_settings(DatabaseSettings(pool=3), home=HOME)
