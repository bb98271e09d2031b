"""Who the client is and how it spoke to us, when a trusted proxy says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from modelpool.core.errors import ConfigurationError

_FORWARDED = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip"}
)


@dataclass(frozen=True, slots=True)
class Peer:
    """The client's address and the scheme it used; as the connection shows them unless a trusted proxy tells more."""

    address: str
    scheme: str


class TrustedProxies:
    """Reads ``X-Forwarded-For`` and ``-Proto``, but only from one of ``server.trusted_proxies``.

    ``networks`` are addresses or networks such as ``10.0.0.0/8``. Raises :class:`ConfigurationError` for anything else.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        try:
            self._networks: list[IPv4Network | IPv6Network] = [ip_network(item, strict=False) for item in networks]
        except ValueError as error:
            raise ConfigurationError(f"server.trusted_proxies: {error}; write addresses such as 10.0.0.0/8") from error

    def peer_of(self, address: str, *, scheme: str, headers: Iterable[tuple[bytes, bytes]]) -> Peer:
        """Return the nearest address that is not a trusted proxy's, and the scheme the first trusted proxy reports."""
        if not self._networks or not self._trusts(address):
            return Peer(address, scheme)
        hops, protocol = [], scheme
        for name, value in headers:
            if name == b"x-forwarded-for":
                hops += [hop.strip() for hop in value.decode("latin-1").split(",")]
            elif name == b"x-forwarded-proto":
                last = value.decode("latin-1").rpartition(",")[2].strip().lower()
                protocol = last if last in ("http", "https") else scheme
        return Peer(self._nearest_stranger(hops, address), protocol)

    def _nearest_stranger(self, hops: list[str], address: str) -> str:
        for hop in reversed(hops):
            if not _is_address(hop):
                return address
            address = hop
            if not self._trusts(hop):
                return hop
        return address

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def without_forwarding(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Drop what clients and proxies say about forwarding: :class:`Peer` has said what is true of it."""
    return [(name, value) for name, value in headers if name not in _FORWARDED]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
