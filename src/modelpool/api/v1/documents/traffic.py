"""Traffic rules on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from modelpool.api.v1.documents.texts import Number
from modelpool.http.bodies import Body
from modelpool.registry.traffic_rules import STICKY_HEADER, Share, TrafficRule

Percent = Annotated[float, Meta(ge=0, le=100, description="Fractions are allowed.")]


class Part(Body, frozen=True):
    """A version and its percentage of the requests."""

    version: Number
    percent: Percent


class TrafficChange(Body, frozen=True):
    """A whole rule: what is not named is not in it.

    A ``canary`` leaves the rest to the active version; the percentages of a ``split`` add up to 100; a ``shadow`` gets
    copies after the answer. ``force`` lets in versions that do not take all that the active one takes.
    """

    canary: Part | None = None
    split: Annotated[list[Part], Meta(max_length=10)] = msgspec.field(default_factory=list)
    shadow: Part | None = None
    sticky_header: Annotated[str, Meta(max_length=64)] = STICKY_HEADER
    force: bool = False

    def to_rule(self) -> TrafficRule:
        """Return the rule that it asks for."""
        return TrafficRule(
            canary=_share(self.canary),
            split=tuple(Share(part.version, part.percent) for part in self.split),
            shadow=_share(self.shadow),
            sticky_header=self.sticky_header,
        )


class TrafficDocument(msgspec.Struct, frozen=True):
    """The rule in force; ``id`` names the experiment and stays while the versions are the same, from ``since`` on."""

    id: str
    canary: Part | None
    split: list[Part]
    shadow: Part | None
    sticky_header: str
    since: datetime
    by: str


def present_rule(rule: TrafficRule) -> TrafficDocument:
    """Return the rule as it stands on the wire."""
    return TrafficDocument(
        id=rule.id,
        canary=_part(rule.canary),
        split=[Part(share.version, share.percent) for share in rule.split],
        shadow=_part(rule.shadow),
        sticky_header=rule.sticky_header,
        since=datetime.fromisoformat(rule.since),
        by=rule.by,
    )


def _share(part: Part | None) -> Share | None:
    return None if part is None else Share(part.version, part.percent)


def _part(share: Share | None) -> Part | None:
    return None if share is None else Part(share.version, share.percent)
