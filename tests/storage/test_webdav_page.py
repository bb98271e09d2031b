"""What ``docs/howto/webdav.md`` tells to write works as it stands, in the real Apache and nginx."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpool import conf
from modelpool.storage.services import get_store
from tests.sandbox import fresh_path
from tests.servers.webdav import (
    APACHE_MODULES,
    MODULES,
    NGINX_DAV,
    PASSWORD,
    USER,
    WebDAVUnavailable,
    find_program,
    serve_webdav,
)

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "webdav.md").read_text(encoding="utf-8")
TOKEN = "the-long-random-token"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def _placed(text: str, folder: Path) -> str:
    """Return what the page says, with its folders below that of the test."""
    text = re.sub(r"/etc/(apache2|nginx)/models.htpasswd", str(folder / "htpasswd"), text)
    return text.replace("/srv", str(folder / "srv"))


def _nginx(folder: Path, port: int, text: str) -> list[str]:
    program = find_program("nginx")
    if program is None or not NGINX_DAV.exists():
        raise WebDAVUnavailable("no nginx with dav found; run scripts/test-servers")
    user = "user root;" if os.geteuid() == 0 else ""
    others = " ".join(f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"load_module {NGINX_DAV};\n{user} daemon off; pid {folder}/nginx.pid;\n"
        f"events {{}}\nhttp {{ access_log off; {others}\nserver {{ listen 127.0.0.1:{port};\n"
        f"location = / {{ return 401; }}\n{_placed(text, folder)} }} }}\n"
    )
    return [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]


def nginx(folder: Path, port: int) -> list[str]:
    """Return the command of nginx as the page has it."""
    return _nginx(folder, port, _blocks("nginx")[0])


def nginx_with_token(folder: Path, port: int) -> list[str]:
    """Return the same, where a token is asked for."""
    account = r"auth_basic models;\s+auth_basic_user_file [^;]+;"
    return _nginx(folder, port, re.sub(account, lambda _: _blocks("nginx")[1], _blocks("nginx")[0]))


def apache(folder: Path, port: int) -> list[str]:
    """Return the command of Apache with the part that the page has, beside what Debian has by itself."""
    program = find_program("apache2")
    if program is None:
        raise WebDAVUnavailable("no apache2 found; run scripts/test-servers")
    user = ""
    if os.geteuid() == 0:
        user = "User www-data\nGroup www-data"
        for path in (folder, *(folder / "srv").rglob("*")):
            shutil.chown(path, "www-data", "www-data")
    modules = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in (*MODULES, "alias"))
    (folder / "apache.conf").write_text(
        f"ServerRoot {folder}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {folder}/apache.pid\n"
        f"ErrorLog {folder}/apache.log\nMutex file:{folder}\n{user}\n{modules}\nDavLockDB {folder}/DavLock\n"
        f"<Location />\nAuthType Basic\nAuthName any\nAuthUserFile {folder}/htpasswd\nRequire valid-user\n</Location>\n"
        f"{_placed(_blocks('apache')[0], folder)}"
    )
    return [program, "-f", str(folder / "apache.conf"), "-DFOREGROUND"]


@pytest.fixture(params=[apache, nginx, nginx_with_token], ids=lambda write: write.__name__)
def settings_of_server(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    folder = fresh_path("webdav-page")
    for name in ("models", "models-tmp"):
        (folder / "srv" / name).mkdir(parents=True)
    has_token = request.param is nginx_with_token
    credentials = {"BEARER_TOKEN": TOKEN} if has_token else {"USERNAME": USER, "PASSWORD": PASSWORD}
    try:
        with serve_webdav(folder, request.param) as running:
            yield {"KIND": "http", "URL": f"{running.url}models/", **credentials}
    except WebDAVUnavailable as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must have every server: {error}", pytrace=False)
        pytest.skip(str(error))


def test_the_store_of_the_page_works(settings_of_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings_of_server.items():
        monkeypatch.setenv(f"MODELPOOL_STORES_DAV_{name}", value)
    conf.settings.cache_clear()
    store, key, data = get_store("dav"), f"{'0' * 32}/{'1' * 32}", os.urandom(3_000_000)
    store.check()
    store.put(key, [data[:2_000_000], data[2_000_000:]])
    with store.open(key) as pieces:
        assert b"".join(pieces) == data
    assert [found.key for found in store.list()] == [key]
    store.delete(key)
    assert list(store.list()) == []
