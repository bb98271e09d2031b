"""What operators type; services check it again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from modelpool import conf
from modelpool.console.administration.forms import ROLES, choice, line
from modelpool.core.errors import InvalidName
from modelpool.core.names import check_name
from modelpool.core.quantities import parse_size
from modelpool.tenants.models import Tenant
from modelpool.tenants.services import LEAST_RATE, MOST_BURST, MOST_DATASET_DAYS, MOST_RATE

_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_MOST_BYTES, _MOST_COUNT = 2**63 - 1, 2**31 - 1


class SizeField(forms.CharField):
    """Bytes as people write them: ``50GiB``, or a number; nothing is ``None``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=30, widget=UnfoldAdminTextInputWidget(), **kwargs)

    def clean(self, value: Any) -> int | None:
        """Return the number of bytes."""
        text = super().clean(value)
        if not text:
            return None
        try:
            size = parse_size(text)
        except ValueError as error:
            raise forms.ValidationError(_("Write a size such as 512MiB or 50GiB, or a number of bytes.")) from error
        if size > _MOST_BYTES:
            raise forms.ValidationError(_("That is more than there can be."))
        return size

    def prepare_value(self, value: Any) -> Any:
        """Return the shortest way to write it exactly."""
        if not isinstance(value, int) or not value:
            return value
        return next((f"{value // size}{unit}" for unit, size in _UNITS if value % size == 0), value)


def _number(label: Any, least: float, most: float, *, is_whole: bool = True) -> forms.Field:
    kind = forms.IntegerField if is_whole else forms.FloatField
    return kind(
        label=label,
        required=False,
        validators=[MinValueValidator(least), MaxValueValidator(most)],
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric" if is_whole else "decimal"}),
    )


class TenantFields(forms.Form):
    """What operators decide of a tenant; an empty quota is that of the installation."""

    display_name = line(gettext_lazy("Title"), required=False, help_text=gettext_lazy("Shown beside the name."))
    store = choice(
        gettext_lazy("Store"),
        lambda: [(alias, alias) for alias in sorted(conf.settings().stores)],
        help_text=gettext_lazy("Where new files go. What is stored already stays where it is: modelpool store move."),
    )
    max_storage_bytes = SizeField(label=gettext_lazy("Storage"))
    max_models = _number(gettext_lazy("Models"), 0, _MOST_COUNT)
    max_queued_jobs = _number(gettext_lazy("Jobs that wait"), 0, _MOST_COUNT)
    dataset_days = _number(gettext_lazy("Days that datasets are kept"), 0, MOST_DATASET_DAYS)
    predictions_per_second = _number(gettext_lazy("Predictions a second"), LEAST_RATE, MOST_RATE, is_whole=False)
    burst = _number(gettext_lazy("Predictions at once"), 1, MOST_BURST)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, hint in _hints().items():
            self.fields[name].help_text = hint

    @classmethod
    def of(cls, tenant: Tenant) -> TenantFields:
        """Return the form as the tenant is now."""
        return cls(initial={name: getattr(tenant, name) for name in cls.base_fields})


class NewTenant(TenantFields):
    """A tenant to be."""

    name = line(
        gettext_lazy("Name"),
        max_length=63,
        help_text=gettext_lazy("Stands in addresses, for good: lower-case letters, digits, “-” and “_”."),
    )
    field_order = ("name",)

    def clean_name(self) -> str:
        """Check the grammar of names."""
        try:
            return check_name(self.cleaned_data["name"])
        except InvalidName as error:
            raise forms.ValidationError(str(error)) from error


class NewPerson(forms.Form):
    """A person to be: they choose their password themselves."""

    username = line(gettext_lazy("User name"), max_length=150, help_text=gettext_lazy("They sign in by it."))
    email = forms.EmailField(label=gettext_lazy("E-mail"), required=False, widget=UnfoldAdminEmailInputWidget())
    tenant = line(
        gettext_lazy("Tenant"), required=False, max_length=63, help_text=gettext_lazy("Make them a member at once.")
    )
    role = choice(gettext_lazy("Role in it"), [(role.value, title) for role, title, _what in ROLES], required=False)
    is_operator = forms.BooleanField(
        label=gettext_lazy("Operator of the installation"),
        required=False,
        help_text=gettext_lazy("May do everything in every tenant."),
        widget=UnfoldBooleanSwitchWidget(),
    )


class Membership(forms.Form):
    """A role in one more tenant."""

    tenant = line(gettext_lazy("Tenant"), max_length=63)
    role = choice(gettext_lazy("Role"), [(role.value, title) for role, title, _what in ROLES])


def _hints() -> dict[str, str]:
    """Say by field what it bounds, and what holds while it is empty."""
    limits = conf.settings().limits
    days = float(conf.settings().datasets.keep) / 86_400
    rate, burst = limits.tenant_predictions_per_second, limits.tenant_burst
    most = SizeField().prepare_value(int(limits.tenant_storage))
    return {
        "max_storage_bytes": _("Of all its files, such as 50GiB. Empty: %(most)s.") % {"most": most},
        "max_models": _("Empty: %(most)s.") % {"most": f"{limits.tenant_models:,}"},
        "max_queued_jobs": _("Empty: %(most)s.") % {"most": f"{limits.tenant_queued_jobs:,}"},
        "dataset_days": _("0: for good. Empty: %(days)s.") % {"days": f"{days:g}" if days else _("for good")},
        "predictions_per_second": _("On each node; more is answered with 429. Empty: %(rate)s.")
        % {"rate": f"{rate:g}" if rate else _("no limit")},
        "burst": _("After a rest. Empty: %(burst)s.")
        % {"burst": f"{burst:,}" if burst else _("as many as in a second")},
    }
