"""The listening socket, opened once by the supervisor and inherited by the web processes."""

from __future__ import annotations

import errno
import socket
import time

from modelpool.core.errors import ConfigurationError

_RETRY_S = 2.0


def open_socket(host: str, *, port: int) -> socket.socket:
    """Bind and listen; raise :class:`ConfigurationError` in words when the address is taken, foreign or forbidden.

    An address in use is tried again for a moment: the processes of a server that was killed need one to end.
    """
    family, address = _resolve(host, port)
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
    deadline = time.monotonic() + _RETRY_S
    while True:
        try:
            listening.bind(address)
            listening.listen(2048)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                listening.close()
                raise ConfigurationError(_in_words(error, host, port)) from error
            time.sleep(0.1)
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the address to type on this machine, such as ``http://127.0.0.1:8000``."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  asked of, not bound to
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigurationError(f"server.host: {host!r} is not an address of this machine: {error}") from error
    except OverflowError as error:
        raise ConfigurationError(
            f"server.port: {port} is not a port; choose 1 to 65535, or 0 for any free one"
        ) from error
    family, _, _, _, address = found[0]
    return family, address


def _in_words(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is in use by another program; stop that, or choose another with --port (0: any free one)"
    if error.errno == errno.EACCES:
        return f"{host}:{port} may not be opened by this user; choose a port above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"server.host: {host!r} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all"
    return f"{host}:{port} cannot be opened: {error.strerror}"
