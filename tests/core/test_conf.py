"""Settings: the file, the environment, units, and errors that name the key."""

from __future__ import annotations

import stat

import pytest

from modelpool.conf import (
    DatabaseStoreSettings,
    FilesystemStoreSettings,
    Home,
    ServerSettings,
    load_settings,
    parse_duration,
    parse_size,
    secret_key,
)
from modelpool.core.errors import ConfigurationError


@pytest.fixture
def at(tmp_path):
    return Home(tmp_path / "home").prepare()


def test_defaults_need_no_file(at):
    settings = load_settings(at, {})
    assert settings.server.port == 8000
    assert settings.stores == {"default": FilesystemStoreSettings(), "rows": DatabaseStoreSettings()}


def test_sizes_and_durations_are_plain_numbers_that_can_be_sent_anywhere(at):
    settings = load_settings(at, {"MODELPOOL_SERVING_MEMORY_BUDGET": "1GiB", "MODELPOOL_JOBS_LEASE": "20s"})
    assert type(settings.serving.memory_budget) is int
    assert type(settings.serving.model_memory_limit) is int
    assert type(settings.jobs.lease) is float


def test_the_environment_wins_over_the_file(at):
    at.config_file.write_text('[server]\nport = 9000\nhost = "0.0.0.0"\n[serving]\nmemory_budget = "1GiB"\n')
    settings = load_settings(
        at, {"MODELPOOL_SERVER_PORT": "9001", "MODELPOOL_SERVING_PRELOAD": "acme/churn, acme/risk"}
    )
    assert (settings.server.port, settings.server.host) == (9001, "0.0.0.0")
    assert settings.serving.memory_budget == 2**30
    assert settings.serving.preload == ("acme/churn", "acme/risk")


def test_both_spellings_of_a_variable_are_read(at):
    assert load_settings(at, {"MODELPOOL_SERVER__PORT": "9002"}).server.port == 9002


def test_a_store_may_be_changed_by_the_environment(at):
    settings = load_settings(at, {"MODELPOOL_STORES_DEFAULT_PATH": "/mnt/models"})
    assert settings.stores["default"] == FilesystemStoreSettings(path="/mnt/models")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nportt = 1\n", "portt"),
        ("[serving]\nmemory_budget = 'lots'\n", "serving.memory_budget"),
        ("[server]\nport = 'x'\n", "server.port"),
        ("[serving]\nmax_queue = 0\n", "serving.max_queue"),
        ("[jobs]\nmax_attempts = 0\n", "jobs.max_attempts"),
        ("[limits]\ntenant_models = -1\n", "limits.tenant_models"),
        ("[limits]\ntenant_queued_jobs = -1\n", "limits.tenant_queued_jobs"),
        ("[stores.x]\nkind = 'tape'\n", "tape"),
        ("[nonsense]\n", "nonsense"),
        ("[server\n", "modelpool.toml"),
    ],
)
def test_a_wrong_key_or_value_is_named(at, text, named):
    at.config_file.write_text(text)
    with pytest.raises(ConfigurationError, match=named.replace(".", r"\.")):
        load_settings(at, {})


@pytest.mark.parametrize(("text", "size"), [("2GiB", 2**31), ("10MB", 10**7), ("1.5 KiB", 1536), (7, 7), ("0", 0)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("2h", 7200), ("250ms", 0.25), (1.5, 1.5), ("1d", 86400)])
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("bad", ["", "ten", "-1s", "5 parsecs", "1e3"])
def test_bad_units(bad):
    with pytest.raises(ValueError, match="for example"):
        parse_size(bad)
    with pytest.raises(ValueError, match="for example"):
        parse_duration(bad)


def test_the_secret_is_random_private_and_kept(at, tmp_path):
    first = secret_key(at, ServerSettings())
    assert len(first) >= 50
    assert secret_key(at, ServerSettings()) == first
    assert secret_key(Home(tmp_path / "another").prepare(), ServerSettings()) != first
    assert stat.S_IMODE((at.path / "secret_key").stat().st_mode) == 0o600


def test_a_secret_that_others_may_read_is_refused(at):
    secret_key(at, ServerSettings())
    (at.path / "secret_key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        secret_key(at, ServerSettings())


def test_a_weak_secret_is_refused(at):
    (at.path / "secret_key").write_text("short")
    (at.path / "secret_key").chmod(0o600)
    with pytest.raises(ConfigurationError, match="weak"):
        secret_key(at, ServerSettings())
