"""What a tenant's administrators type; services check it again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from modelpool.core.policies import POLICY_NAMES
from modelpool.tenants.models import Tenant
from modelpool.tenants.roles import TENANT_ROLES, Role

ROLES = (
    (Role.VIEWER, _("Viewer"), _("looks at models, jobs, datasets and metrics")),
    (Role.PREDICTOR, _("Predictor"), _("also asks for predictions")),
    (Role.SCIENTIST, _("Scientist"), _("also trains, uploads, activates and deletes models")),
    (Role.ADMIN, _("Admin"), _("also decides who may do what: members, keys and settings")),
)
"""Each with what it adds to the one before."""

_ROLE_CHOICES = [(role.value, title) for role, title, _what in ROLES]
_EXPIRIES = (
    ("7", _("in 7 days")),
    ("30", _("in 30 days")),
    ("90", _("in 90 days")),
    ("365", _("in a year")),
    ("", _("never")),
)
_POLICIES = (
    ("", _("as the installation decides")),
    ("best_metric", _("the best by a metric")),
    ("latest", _("the latest")),
    ("pinned", _("none: only people activate")),
)
_MODES = (
    ("", _("as scikit-learn defines the metric")),
    ("max", _("larger is better")),
    ("min", _("smaller is better")),
)
assert {role for role, *_rest in ROLES} == set(TENANT_ROLES)
assert {name for name, _text in _POLICIES if name} == set(POLICY_NAMES)


def line(label: Any, *, required: bool = True, help_text: Any = "", max_length: int = 200) -> forms.CharField:
    """Return a field of one line."""
    return forms.CharField(
        label=label,
        required=required,
        help_text=help_text,
        max_length=max_length,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )


def choice(label: Any, choices: Any, *, required: bool = True, help_text: Any = "") -> forms.ChoiceField:
    """Return a drop-down."""
    return forms.ChoiceField(
        label=label, choices=choices, required=required, help_text=help_text, widget=UnfoldAdminSelectWidget()
    )


class NewMember(forms.Form):
    """A person and their role."""

    username = line(_("User name"), help_text=_("Of a person who can sign in already; an operator adds new people."))
    role = choice(_("Role"), _ROLE_CHOICES)


class NewKey(forms.Form):
    """A program's key."""

    name = line(_("Name"), help_text=_("Which program will use it: “web shop”, “nightly scoring”."))
    role = choice(_("Role"), _ROLE_CHOICES, help_text=_("The least that the program can do with."))
    expires_in_days = choice(
        _("Expires"), _EXPIRIES, required=False, help_text=_("An expired key is refused; make a new one in time.")
    )

    def clean_expires_in_days(self) -> float | None:
        """Return a number of days, or ``None`` for a key that does not expire."""
        days = self.cleaned_data["expires_in_days"]
        return float(days) if days else None


class TenantPreferences(forms.Form):
    """What the administrators of a tenant decide about it."""

    display_name = line(_("Title"), required=False, help_text=_("Shown beside the name."))
    policy = choice(
        _("Which version is active"),
        _POLICIES,
        required=False,
        help_text=_("In new models that say nothing else: what becomes active by itself when a version is added."),
    )
    metric = line(
        _("Metric"),
        required=False,
        help_text=_("For “the best”. Empty: the one that the trainer judges by."),
        max_length=64,
    )
    mode = choice(_("Direction"), _MODES, required=False)
    min_improvement = forms.FloatField(
        label=_("Least improvement"),
        required=False,
        min_value=0,
        help_text=_("For “the best”: by how much a version must be better than the active one."),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )

    @classmethod
    def of(cls, tenant: Tenant) -> TenantPreferences:
        """Return the form as the tenant is now."""
        policy = tenant.default_policy
        initial = {"display_name": tenant.display_name, "policy": policy.get("name", "")}
        return cls(initial={**initial, **{name: policy.get(name) for name in ("metric", "mode", "min_improvement")}})

    def changes(self) -> dict[str, Any]:
        """Return what was typed as the fields of a tenant."""
        data = self.cleaned_data
        return {"display_name": data["display_name"], "default_policy": self._policy()}

    def _policy(self) -> dict[str, Any]:
        data = self.cleaned_data
        if not data["policy"]:
            return {}
        given = ("metric", "mode", "min_improvement") if data["policy"] == "best_metric" else ()
        return {"name": data["policy"], **{name: data[name] for name in given if data[name] not in ("", None)}}
