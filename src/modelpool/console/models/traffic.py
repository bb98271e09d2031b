"""The panel "traffic" of a model: who answers how much, how they do side by side, and what changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from modelpool.console.models.places import model_of, number_in
from modelpool.console.models.pool import Pool
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.core.errors import InvalidField, NoTrafficRule
from modelpool.http import activating
from modelpool.monitoring.traffic import TrafficReport, traffic_report
from modelpool.registry import services
from modelpool.registry.models import RegisteredModel
from modelpool.registry.traffic_rules import Share, TrafficRule, rule_of
from modelpool.tenants.roles import Permission

_WHOLE = 100.0
_SPLIT_ROWS = 4
_MOST_OFFERED = 50
_PARTS = ("canary", "shadow")


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of the bar: a version, as what it answers, and its percentage of the requests."""

    version: int
    role: str
    percent: float


@dataclass(frozen=True, slots=True)
class TrafficPanel:
    """What the panel shows; ``others`` are the versions that can be tried beside the active one."""

    rule: TrafficRule | None
    active: int | None
    parts: list[Part]
    report: TrafficReport | None
    others: list[int]

    def options(self, selected: int | None, *, with_active: bool = False) -> SafeString:
        """Return the choices of a version; in Python, because a long pool has many of them."""
        numbers = self.offered if with_active else self.others
        numbers = numbers if selected is None or selected in numbers else [selected, *numbers]
        rows = ((number, mark_safe(" selected") if number == selected else "", number) for number in numbers)
        return format_html_join("", '<option value="{}"{}>v{}</option>', rows)

    @property
    def offered(self) -> list[int]:
        """The versions that may take a share of a split."""
        return ([] if self.active is None else [self.active]) + self.others

    @property
    def split_rows(self) -> list[tuple[SafeString, float]]:
        """The rows of the form of a split, their choices and shares: as it is, or half and half; and empty ones."""
        if self.rule is not None and self.rule.split:
            rows: list[tuple[int | None, float]] = [(share.version, share.percent) for share in self.rule.split]
        else:
            rows = [(number, _WHOLE / 2) for number in self.offered[:2]]
        rows += [(None, 0.0)] * (min(_SPLIT_ROWS, len(self.offered)) - len(rows))
        return [(self.options(number, with_active=True), percent) for number, percent in rows]

    @property
    def canary_options(self) -> SafeString:
        """The choices of the form of the canary."""
        return self.options(self.rule.canary.version if self.rule and self.rule.canary else None)

    @property
    def canary_percent(self) -> float:
        """The percentage that the form of the canary begins with."""
        return self.rule.canary.percent if self.rule and self.rule.canary else 5.0

    @property
    def shadow_options(self) -> SafeString:
        """The choices of the form of the shadow."""
        return self.options(self.rule.shadow.version if self.rule and self.rule.shadow else None)

    @property
    def shadow_percent(self) -> float:
        """The percentage that the form of the shadow begins with."""
        return self.rule.shadow.percent if self.rule and self.rule.shadow else _WHOLE


def traffic_panel(model: RegisteredModel, pool: Pool | None = None) -> TrafficPanel:
    """Return the panel of one model; without its ``pool`` it offers no versions."""
    rule, active = rule_of(model.traffic), model.active_version.number if model.active_version else None
    members = [] if pool is None else [one for one in pool.members if one.may_answer and one.number != active]
    return TrafficPanel(
        rule=rule,
        active=active,
        parts=_parts(rule, active=active),
        report=None if rule is None else traffic_report(model, rule=UUID(rule.id)),
        others=[member.number for member in members[:_MOST_OFFERED]],
    )


@tenant_page()
def traffic_live(page: TenantPage, model: str) -> HttpResponse:
    """Show the shares and figures as they are now, as a part of the model's page."""
    row = model_of(page, model)
    if not page.is_fragment:
        return page.redirect("model", row.name)
    return page.fragment("console/models/traffic_live.html", model=row, traffic=traffic_panel(row))


@tenant_action(Permission.DEVELOP)
def set_part(page: TenantPage, model: str, part: str) -> HttpResponse:
    """Set the canary or the shadow to what the form says; the other one stays, a split ends."""
    row, posted = model_of(page, model), page.request.POST
    share = _share(posted.get("version", ""), posted.get("percent", ""), field=part)
    before = rule_of(row.traffic) or TrafficRule()
    changes: dict[str, Any] = {"split": (), part: share}
    _set(page, row, msgspec.structs.replace(before, **changes))
    said = {"number": share.version, "percent": f"{share.percent:g}"}
    if part == "canary":
        messages.success(page.request, _("Version %(number)d answers %(percent)s %% of the requests.") % said)
    else:
        messages.success(page.request, _("Version %(number)d gets copies of %(percent)s %% of the requests.") % said)
    return page.redirect("model", row.name)


@tenant_action(Permission.DEVELOP)
def set_split(page: TenantPage, model: str) -> HttpResponse:
    """Divide all requests among the versions of the form; a canary ends, a shadow stays."""
    row = model_of(page, model)
    before = rule_of(row.traffic) or TrafficRule()
    shares = _shares(page.request.POST)
    _set(page, row, msgspec.structs.replace(before, canary=None, split=shares))
    said = ", ".join(f"v{share.version}: {share.percent:g} %" for share in shares)
    messages.success(page.request, _("The requests are divided: %(shares)s.") % {"shares": said})
    return page.redirect("model", row.name)


@tenant_action(Permission.DEVELOP)
def promote(page: TenantPage, model: str) -> HttpResponse:
    """Activate the canary, which ends it."""
    row = model_of(page, model)
    version = activating.promote(row, actor=page.actor)
    messages.success(
        page.request, _("Version %(number)d is active; it is no canary any more.") % {"number": version.number}
    )
    return page.redirect("model", row.name)


@tenant_action(Permission.DEVELOP)
def end_traffic(page: TenantPage, model: str) -> HttpResponse:
    """End the canary, the shadow, or all of the rule."""
    row, part = model_of(page, model), page.request.POST.get("part", "all")
    before = rule_of(row.traffic)
    if before is None:
        raise NoTrafficRule(row.name)
    after = msgspec.structs.replace(before, **({part: None} if part in _PARTS else {}))
    if part in _PARTS and (after.canary or after.shadow or after.split):
        services.set_traffic(row, rule=after, actor=page.actor, force=True)
    else:
        services.end_traffic(row, actor=page.actor)
    ended = {"canary": _("The canary has ended"), "shadow": _("The shadow has ended")}
    said = ended.get(part, _("The active version answers everything again"))
    messages.success(page.request, _("%(what)s; the figures stay.") % {"what": said})
    return page.redirect("model", row.name)


def _set(page: TenantPage, model: RegisteredModel, rule: TrafficRule) -> None:
    force = page.request.POST.get("force") == "on"
    activating.set_traffic(model, rule=rule, actor=page.actor, force=force)


def _share(version: str, percent: str, *, field: str) -> Share:
    number = number_in(version)
    try:
        share = float(percent)
    except ValueError:
        share = None
    if number is None or share is None:
        raise InvalidField(field, _("choose a version, and a number from 0 to 100."))
    return Share(number, share)


def _shares(posted: QueryDict) -> tuple[Share, ...]:
    """Read the rows of the form, those without a version left out."""
    rows: Sequence[tuple[str, str]] = list(zip(posted.getlist("version"), posted.getlist("percent"), strict=False))
    return tuple(_share(version, percent, field="split") for version, percent in rows if version)


def _parts(rule: TrafficRule | None, *, active: int | None) -> list[Part]:
    if active is None:
        return []
    if rule is None:
        return [Part(active, "active", _WHOLE)]
    if rule.split:
        parts = [Part(share.version, "split", share.percent) for share in rule.split]
    elif rule.canary is not None:
        parts = [Part(active, "active", _WHOLE - rule.canary.percent)]
        parts.append(Part(rule.canary.version, "canary", rule.canary.percent))
    else:
        parts = [Part(active, "active", _WHOLE)]
    if rule.shadow is not None:
        parts.append(Part(rule.shadow.version, "shadow", rule.shadow.percent))
    return parts
