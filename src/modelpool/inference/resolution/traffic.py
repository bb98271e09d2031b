"""Which version answers a request to a model whose traffic is divided: two comparisons, no lock, no memory."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from random import random
from typing import TYPE_CHECKING
from uuid import UUID

from modelpool.registry.traffic_rules import TrafficRule

if TYPE_CHECKING:
    from modelpool.inference.resolution.lookup import Route

VERSION_HEADER = b"x-modelpool-version"
VARIANT_HEADER = b"x-modelpool-variant"

_HASH_BITS = 53  # what a float holds exactly
_PLACES = float(2**_HASH_BITS)


class TrafficPlan:
    """A rule with the routes of its versions.

    ``branches`` are the routes with the upper ends of their parts of the unit interval, in order; ``rest`` answers
    beyond them. A request's place is drawn by lot or, where it has the sticky header, hashed from that: so the same
    value always goes to the same version, and a canary that grows only takes callers, it gives none back.
    """

    __slots__ = ("_branches", "_header", "_rest", "_salt", "shadow", "shadow_share")

    def __init__(
        self,
        rule: TrafficRule,
        *,
        model_id: UUID,
        branches: tuple[tuple[float, Route], ...],
        rest: Route,
        shadow: Route | None = None,
    ) -> None:
        self._header = rule.sticky_header.lower().encode()
        self._salt = model_id.bytes + UUID(rule.id).bytes
        self._branches = branches
        self._rest = rest
        self.shadow = shadow
        self.shadow_share = 0.0 if rule.shadow is None else rule.shadow.percent / 100

    @property
    def routes(self) -> tuple[Route, ...]:
        """All versions that have to be in memory for the rule to be in force."""
        routes = [*(route for _, route in self._branches), self._rest]
        return tuple(routes if self.shadow is None else [*routes, self.shadow])

    def choose(self, headers: Mapping[bytes, bytes]) -> Route:
        """Return the version that answers a request with these headers (names in lower case)."""
        value = headers.get(self._header)
        place = self.place_of(value) if value else random()  # noqa: S311 - a lot, not a secret
        for end, route in self._branches:
            if place < end:
                return route
        return self._rest

    def place_of(self, value: bytes) -> float:
        """Return where in the unit interval a value of the sticky header falls."""
        digest = blake2b(value, digest_size=8, key=self._salt).digest()
        return (int.from_bytes(digest) >> (64 - _HASH_BITS)) / _PLACES


def headers_of(number: int, variant: str = "") -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that say which version answered, and as what."""
    version = (VERSION_HEADER, b"%d" % number)
    return (version, (VARIANT_HEADER, variant.encode())) if variant else (version,)


def answering(route: Route) -> tuple[Route, ...]:
    """Return the versions behind a route: itself, or those of its plan."""
    return (route,) if route.traffic is None else route.traffic.routes
