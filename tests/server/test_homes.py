"""One server a home, its socket, and the settings it refuses."""

from __future__ import annotations

import os
import re
import socket

import pytest

from modelpool.conf import Home, decode_settings, origins
from modelpool.core.errors import ConfigurationError, Conflict
from modelpool.server.addresses import allowed_hosts, public_origin, public_prefix
from modelpool.server.processes.homelock import lock_home, running_server
from modelpool.server.processes.listening import open_socket, url_of


def test_second_server_is_refused_and_told_where_the_first_is(tmp_path):
    home = Home(tmp_path).prepare()
    assert running_server(home) is None
    lock = lock_home(home)
    lock.describe("http://127.0.0.1:1234")
    with pytest.raises(Conflict, match=rf"process {os.getpid()} at http://127\.0\.0\.1:1234.*--home"):
        lock_home(home)
    assert running_server(home).pid == os.getpid()
    lock.file.close()
    assert running_server(home) is None
    lock_home(home).file.close()


def test_port_in_use_is_said_in_words(monkeypatch):
    monkeypatch.setattr("modelpool.server.processes.listening._RETRY_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port} is in use.*--port"):
            open_socket("127.0.0.1", port=port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "a b"])
def test_foreign_address_is_said_in_words(host):
    with pytest.raises(ConfigurationError, match=re.escape(f"server.host: {host!r} is not an address of this machine")):
        open_socket(host, port=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_address_to_type(host):
    with open_socket(host, port=0) as listening:
        assert url_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("server", "named"),
    [
        ({"portt": 1}, "portt"),
        ({"port": 70000}, "server.port"),
        ({"port": "http"}, "server.port"),
        ({"workers": 0}, "server.workers"),
        ({"drain_timeout": "soon"}, "'soon' is not a duration"),
        ({"allowed_hosts": ["*"]}, "server.allowed_hosts"),
        ({"trusted_proxies": ["proxy"]}, "server.trusted_proxies"),
        ({"public_url": "models.example.com"}, "server.public_url"),
        ({"log_format": "xml"}, "server.log_format"),
    ],
)
def test_wrong_setting_is_named(server, named):
    with pytest.raises(ConfigurationError, match=r"^file: ") as caught:
        decode_settings({"server": server}, source="file")
    assert named in str(caught.value)


def test_any_host_may_be_allowed_behind_a_proxy_that_checks():
    settings = decode_settings({"server": {"allowed_hosts": ["*"], "trusted_proxies": ["10.0.0.0/8"]}}, source="file")
    assert settings.server.allowed_hosts == ("*",)


def test_public_address_and_listening_address_are_our_hosts():
    server = decode_settings(
        {"server": {"host": "192.0.2.1", "public_url": "https://m.example.com/pool/"}}, source="f"
    ).server
    assert {"192.0.2.1", "m.example.com", "localhost"} <= set(allowed_hosts(server))
    assert (public_prefix(server), public_origin(server)) == ("/pool", "https://m.example.com")
    everywhere = decode_settings({"server": {"host": "0.0.0.0"}}, source="f").server
    assert allowed_hosts(everywhere) == list(everywhere.allowed_hosts)


def test_origin_of_a_setting_is_the_file_or_the_variable(tmp_path):
    home = Home(tmp_path)
    home.config_file.write_text("[server]\nport = 1\nworkers = 3\n")
    found = origins(home, {"MODELPOOL_SERVER_PORT": "2", "MODELPOOL_URL": "x", "HOME": "y"})
    assert found == {"server.workers": str(home.config_file), "server.port": "MODELPOOL_SERVER_PORT"}
