"""Policies in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from modelpool.console.templatetags.console_tags import metric
from modelpool.core.policies import BestMetric, Latest, Pinned


def policy_text(policy: Mapping[str, Any]) -> str:
    """Say who becomes active when a version is added."""
    name = policy.get("name")
    if name == Latest.name:
        return _("newest version")
    if name == Pinned.name:
        return _("by hand")
    if name != BestMetric.name:
        return str(name or "")
    judged = _("best %(metric)s") % {"metric": policy["metric"]} if policy.get("metric") else _("best metric")
    least = policy.get("min_improvement")
    return _("%(judged)s, by %(least)s at least") % {"judged": judged, "least": metric(least)} if least else judged
