"""The WSGI environment of an ASGI request, as PEP 3333 wants it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from modelpool.inference.asgi import Scope
from modelpool.server.bridge.proxies import Peer, without_forwarding

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def build_environ(scope: Scope, *, body: BinaryIO, length: int, peer: Peer, request_id: str) -> dict[str, Any]:
    """Return the environment; text in it is Latin-1 of the bytes sent, and the body's ``length`` is known.

    Headers whose names have an underscore are dropped: they would pass for the same name with a hyphen.
    """
    server = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", ""),
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": peer.address,
        "CONTENT_LENGTH": str(length),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": peer.scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    _add_headers(environ, scope["headers"])
    environ["HTTP_X_REQUEST_ID"] = request_id
    return environ


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, value in without_forwarding(headers):
        if b"_" in name or name in (b"content-length", b"transfer-encoding", b"expect"):
            continue
        text = name.decode("latin-1").upper().replace("-", "_")
        key = text if text == "CONTENT_TYPE" else f"HTTP_{text}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = (
            f"{environ[key]}{separator}{value.decode('latin-1')}" if key in environ else value.decode("latin-1")
        )
