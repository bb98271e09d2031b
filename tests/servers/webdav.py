"""Real WebDAV servers from Debian's packages: Apache with mod_dav, and nginx with its dav modules."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.servers.processes import die_with_parent

USER, PASSWORD = "modelpool", "secret"
TOKEN = "token-of-the-tests"
BEARER, READ_ONLY = "bearer/", "readonly/"
"""Folders that want the token in place of the account, and that take no files."""
_START_DEADLINE_S = 15.0
_STOP_DEADLINE_S = 15.0
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
NGINX_DAV = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")
APACHE_MODULES = Path("/usr/lib/apache2/modules")

_NGINX = """
load_module {dav};
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  dav_ext_lock_zone zone=dav:1m;
  client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp1; fastcgi_temp_path {folder}/tmp2;
  uwsgi_temp_path {folder}/tmp3; scgi_temp_path {folder}/tmp4;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    root {data};
    auth_basic store; auth_basic_user_file {folder}/htpasswd;
    dav_methods PUT DELETE MKCOL COPY MOVE;
    dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
    dav_ext_lock zone=dav;
    create_full_put_path on;
    location / {{ }}
    location /{read_only} {{ dav_methods off; }}
    location /{bearer} {{
      auth_basic off;
      if ($http_authorization != "Bearer {token}") {{ return 401; }}
    }}
  }}
}}
"""
_APACHE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.log
Mutex file:{folder}
{user}
{modules}
DavLockDB {folder}/DavLock
DocumentRoot {data}
<Directory {data}>
  Dav On
  AuthType Basic
  AuthName store
  AuthUserFile {folder}/htpasswd
  Require valid-user
</Directory>
<Location /{read_only}>
  <LimitExcept GET HEAD OPTIONS PROPFIND>
    Require all denied
  </LimitExcept>
</Location>
<Location /{bearer}>
  AuthType None
  Require expr "%{{HTTP:Authorization}} == 'Bearer {token}'"
</Location>
"""
_FACTS = {"token": TOKEN, "bearer": BEARER, "read_only": READ_ONLY}
MODULES = ("mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "dav", "dav_fs")


class WebDAVUnavailable(Exception):
    """There is no such server here; the message says what to install."""


@dataclass
class WebDAV:
    """A server that can be stopped, killed and started again at the same address with the same files."""

    folder: Path
    port: int
    command: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The folder of all files."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def data(self) -> Path:
        """Where the server keeps its files."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it refuses a stranger."""
        with (self.folder / "out.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urlopen(self.url, timeout=2).close()
            except HTTPError as answer:
                answer.close()
                if answer.code == 401:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.log"))
        raise AssertionError(f"{self.command[0]} is not ready:\n{logs}")

    def make_folder(self) -> str:
        """Make an empty folder and return its address."""
        url = f"{self.url}{uuid.uuid4().hex[:8]}/"
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = Request(url, method="MKCOL", headers={"Authorization": f"Basic {credentials}"})
        urlopen(request, timeout=10).close()
        return url

    def stop(self) -> None:
        """End it at once, with its workers."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_program(name: str) -> str | None:
    """Return where the server's program is, also where only root looks for it."""
    return shutil.which(name, path=_PATH)


def nginx(folder: Path, port: int) -> list[str]:
    """Write nginx's configuration and return its command."""
    program = find_program("nginx")
    if program is None or not NGINX_DAV.exists():
        raise WebDAVUnavailable(
            "no nginx with dav found; run scripts/test-servers (Debian: nginx libnginx-mod-http-dav-ext)"
        )
    user = "user root;" if os.geteuid() == 0 else ""
    text = _NGINX.format(dav=NGINX_DAV, folder=folder, data=folder / "data", port=port, user=user, **_FACTS)
    (folder / "nginx.conf").write_text(text)
    return [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]


def apache(folder: Path, port: int) -> list[str]:
    """Write Apache's configuration and return its command."""
    program = find_program("apache2")
    if program is None:
        raise WebDAVUnavailable("no apache2 found; run scripts/test-servers (Debian: apache2)")
    user = ""
    if os.geteuid() == 0:
        user = "User www-data\nGroup www-data"
        for path in (folder, *folder.rglob("data/**")):
            shutil.chown(path, "www-data", "www-data")
    modules = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in MODULES)
    text = _APACHE.format(folder=folder, data=folder / "data", port=port, user=user, modules=modules, **_FACTS)
    (folder / "apache.conf").write_text(text)
    return [program, "-f", str(folder / "apache.conf"), "-DFOREGROUND"]


@contextmanager
def serve_webdav(folder: Path, write: Callable[[Path, int], list[str]]) -> Iterator[WebDAV]:
    """Start a server on a free port with an empty folder and one account; end it. ``write`` is one of the above."""
    for name in (BEARER, READ_ONLY):
        (folder / "data" / name).mkdir(parents=True)
    (folder / "htpasswd").write_text(f"{USER}:{_digest(PASSWORD)}\n")
    server = WebDAV(folder, _free_port())
    server.command = write(folder, server.port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _digest(password: str) -> str:
    """Both servers read the form of LDAP; it is weak, and the password no secret."""
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
