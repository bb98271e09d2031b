"""The console's forms: what people type; services check it again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from modelpool import conf
from modelpool.core.errors import InvalidName
from modelpool.core.names import check_name
from modelpool.tenants.membership import tenants_where
from modelpool.tenants.models import Tenant, User
from modelpool.tenants.roles import TENANT_ROLES, Permission, Role
from modelpool.tenants.services import LEAST_RATE, MOST_BURST, MOST_DATASET_DAYS, MOST_RATE

_ACTIVATE = [
    ("", "as the model's policy decides"),
    ("if_better", "if it is better than the active one"),
    ("always", "always"),
    ("never", "never"),
]


def text(label: str, *, required: bool = True, help_text: str = "", initial: str = "") -> forms.CharField:
    """Return a one-line field."""
    return forms.CharField(
        label=label,
        required=required,
        help_text=help_text,
        initial=initial,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
    )


def choice(label: str, choices: Any, *, required: bool = True, help_text: str = "") -> forms.ChoiceField:
    """Return a drop-down."""
    return forms.ChoiceField(
        label=label, choices=choices, required=required, help_text=help_text, widget=UnfoldAdminSelectWidget()
    )


def file(label: str, *, help_text: str = "") -> forms.FileField:
    """Return a file field."""
    return forms.FileField(label=label, help_text=help_text, widget=UnfoldAdminFileFieldWidget())


class TenantChoiceField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """One of the tenants in which the person has a permission; the form sets its queryset."""

    def __init__(self) -> None:
        super().__init__(
            queryset=Tenant.objects.none(), label="Tenant", widget=UnfoldAdminSelectWidget(), to_field_name="name"
        )


class PersonForm(forms.Form):
    """A form that knows who fills it in."""

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user


def _kept_by_default() -> str:
    days = float(conf.settings().datasets.keep) / 86_400
    return f"{days:g}" if days else "for good"


def _limit_hints() -> dict[str, str]:
    """Say by field what it bounds, and what holds while it is empty."""
    limits = conf.settings().limits
    rate, burst = limits.tenant_predictions_per_second, limits.tenant_burst
    return {
        "max_storage_bytes": f"Bytes that its files may take. Empty: {limits.tenant_storage:,}.",
        "max_models": f"Empty: {limits.tenant_models:,}.",
        "max_queued_jobs": f"Jobs that may wait. Empty: {limits.tenant_queued_jobs:,}.",
        "dataset_days": f"Days that a new dataset is kept. 0: for good. Empty: {_kept_by_default()}.",
        "predictions_per_second": f"On each node; more is answered with 429. Empty: {rate or 'no limit'}.",
        "burst": f"Predictions at once, after a rest. Empty: {burst or 'as many as in a second'}.",
    }


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]
    """A tenant as an operator sees it."""

    store = choice(
        "Store",
        lambda: [(alias, alias) for alias in sorted(conf.settings().stores)],
        help_text="Where new artifacts go.",
    )

    class Meta:
        """Fields of the form."""

        model = Tenant
        fields = (
            "name",
            "display_name",
            "is_active",
            "store",
            "max_storage_bytes",
            "max_models",
            "max_queued_jobs",
            "dataset_days",
            "predictions_per_second",
            "burst",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "max_models" not in self.fields:  # who may only look gets no fields
            return
        for name, hint in _limit_hints().items():
            self.fields[name].help_text = hint
        for name in ("max_storage_bytes", "max_models", "max_queued_jobs"):
            self.fields[name].validators.append(MinValueValidator(0))
        bounds = (
            ("dataset_days", 0, MOST_DATASET_DAYS),
            ("predictions_per_second", LEAST_RATE, MOST_RATE),
            ("burst", 1, MOST_BURST),
        )
        for name, least, most in bounds:
            self.fields[name].validators += [MinValueValidator(least), MaxValueValidator(most)]

    def clean_name(self) -> str:
        """Check the grammar of names."""
        try:
            return check_name(self.cleaned_data["name"])
        except InvalidName as error:
            raise forms.ValidationError(str(error)) from error


class KeyForm(PersonForm):
    """A new key."""

    tenant = TenantChoiceField()
    role = choice("Role", [(role.value, role.label) for role in TENANT_ROLES])
    name = text("Name", required=False, help_text="Which program will use it.")
    expires_in_days = forms.FloatField(
        label="Expires in days",
        required=False,
        min_value=0.001,
        help_text="Empty: never.",
        widget=UnfoldAdminDecimalFieldWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _limit_tenants(self, Permission.ADMINISTER)
        if self.user.is_operator:
            self.fields["tenant"].required = False
            self.fields["tenant"].help_text = "Empty for an operator's key, which may act in every tenant."
            self.fields["role"].choices = [(role.value, role.label) for role in Role]  # type: ignore[attr-defined]


class MemberForm(PersonForm):
    """A person's role in a tenant."""

    tenant = TenantChoiceField()
    username = text("User name", help_text="Of a person who can sign in already.")
    role = choice("Role", [(role.value, role.label) for role in TENANT_ROLES])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _limit_tenants(self, Permission.ADMINISTER)

    def clean_username(self) -> User:
        """Return the person of that name."""
        person = User.objects.filter(username=self.cleaned_data["username"]).first()
        if person is None:
            raise forms.ValidationError("There is no person of that name; an operator can add one under People.")
        return person


class UserForm(PersonForm):
    """A new person."""

    username = text("User name")
    email = forms.EmailField(label="E-mail", required=False, widget=UnfoldAdminEmailInputWidget())
    password = forms.CharField(
        label="Password", widget=UnfoldAdminPasswordWidget(), help_text="At least 12 characters."
    )
    is_operator = forms.BooleanField(
        label="Operator of the installation", required=False, widget=UnfoldBooleanSwitchWidget()
    )


class TrainForm(forms.Form):
    """A table to train on, and how."""

    file = file("Table", help_text="CSV, Parquet or JSON lines.")
    trainer = choice("Trainer", ())
    target = text("Target column", help_text="The column to predict.")
    params = forms.JSONField(
        label="Parameters", required=False, initial={}, help_text='JSON, for example {"algorithm": "random_forest"}.',
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )  # fmt: skip
    activate = choice("Activate", _ACTIVATE, required=False)

    def __init__(self, *args: Any, trainers: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["trainer"].choices = [(name, name) for name in trainers]  # type: ignore[attr-defined]

    def clean_params(self) -> dict[str, Any]:
        """Return an object; empty means the trainer's own defaults."""
        value = self.cleaned_data["params"] or {}
        if not isinstance(value, dict):
            raise forms.ValidationError('Parameters are a JSON object, for example {"n_estimators": 200}.')
        return value


def _limit_tenants(form: PersonForm, permission: Permission) -> None:
    """Offer only the tenants in which the person has the permission; choose the only one beforehand."""
    field = form.fields["tenant"]
    field.queryset = tenants_where(form.user, permission)  # type: ignore[attr-defined]
    choices = list(field.queryset[:2])  # type: ignore[attr-defined]
    if len(choices) == 1:
        field.initial = choices[0].name


def first_error(form: forms.BaseForm) -> str:
    """Return the first complaint of a form that is not valid, with its field's label."""
    name, errors = next(iter(form.errors.items()))
    field = form.fields.get(name)
    return f"{field.label or name if field else 'Form'}: {errors[0]}"
