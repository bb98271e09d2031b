"""The forms of models: what people type; services check it again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from modelpool import conf
from modelpool.core.policies import POLICY_NAMES
from modelpool.registry.models import RegisteredModel

_POLICIES = {
    "best_metric": _("the best by a metric becomes active"),
    "latest": _("the newest becomes active"),
    "pinned": _("only people activate"),
}
_ACTIVATE = [
    ("never", _("not yet: I look at it first")),
    ("policy", _("as the model's policy decides")),
    ("if_better", _("if it is better than the active one")),
    ("always", _("at once")),
]


class UploadForm(forms.Form):
    """What is said of a model file made elsewhere; the file comes beside it: :mod:`modelpool.console.uploading`."""

    metrics = forms.CharField(
        label=_("Metrics"),
        required=False,
        help_text=_("One a line, such as accuracy = 0.93, to compare it with other versions."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )
    description = forms.CharField(
        label=_("Description"), required=False, widget=UnfoldAdminTextInputWidget(), max_length=1000
    )
    activate = forms.ChoiceField(
        label=_("Activate it"), choices=_ACTIVATE, required=False, widget=UnfoldAdminSelectWidget()
    )

    def clean_metrics(self) -> dict[str, float]:
        """Return the metrics by name."""
        return dict(_metric(line) for line in self.cleaned_data["metrics"].splitlines() if line.strip())

    def metadata(self) -> dict[str, Any]:
        """Return what was typed as the metadata of an upload."""
        data, activate = self.cleaned_data, self.cleaned_data["activate"] or "never"
        said = {"metrics": data["metrics"], "description": data["description"]}
        return said if activate == "policy" else {**said, "activate": activate}


def _metric(line: str) -> tuple[str, float]:
    name, _equals, value = (line if "=" in line else line.replace(":", "=", 1)).partition("=")
    try:
        return name.strip(), float(value)
    except ValueError as error:
        wanted = _("%(line)s is no metric; write a name, = and a number.") % {"line": repr(line.strip()[:80])}
        raise forms.ValidationError(wanted) from error


class ModelForm(forms.Form):
    """What can be said of a model; a new one has a name as well. Tags are read beside the form: :func:`tags_in`."""

    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        help_text=_("Lower-case letters, digits, - and _. It stands in the address of predictions, and stays."),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    description = forms.CharField(
        label=_("Description"),
        required=False,
        help_text=_("What it predicts, for whom."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    policy = forms.ChoiceField(
        label=_("Policy"),
        choices=[(name, _POLICIES[name]) for name in POLICY_NAMES],
        help_text=_("What happens when a version is added. Anyone who develops may still activate another."),
        widget=UnfoldAdminSelectWidget(),
    )
    metric = forms.CharField(
        label=_("Metric of the policy"),
        required=False,
        max_length=64,
        help_text=_("Empty: what each trainer judges by."),
        widget=UnfoldAdminTextInputWidget(attrs={"list": "metrics", "autocomplete": "off"}),
    )
    mode = forms.ChoiceField(
        label=_("Better is"),
        required=False,
        choices=[("", _("as usual for the metric")), ("max", _("larger")), ("min", _("smaller"))],
        widget=UnfoldAdminSelectWidget(),
    )
    min_improvement = forms.FloatField(
        label=_("Least improvement"),
        required=False,
        min_value=0,
        help_text=_("A new version must be better by at least this much."),
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
    )
    store = forms.ChoiceField(
        label=_("Store"),
        required=False,
        help_text=_("Where files of versions to come go; those there are stay."),
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, model: RegisteredModel | None = None, **kwargs: Any) -> None:
        if model is not None:
            kwargs["initial"] = _initial(model)
        super().__init__(*args, **kwargs)
        if model is not None:
            del self.fields["name"]
        stores = [(alias, alias) for alias in sorted(conf.settings().stores)]
        self.fields["store"].choices = [("", _("the tenant's")), *stores]  # type: ignore[attr-defined]

    def values(self) -> dict[str, Any]:
        """Return the fields as the services take them."""
        data = self.cleaned_data
        return {
            "description": data["description"].replace("\r\n", "\n"),
            "policy": self._policy(),
            "store": data["store"],
        }

    def _policy(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data["policy"] != "best_metric":
            return {"name": data["policy"]}
        return {
            "name": "best_metric",
            "metric": data["metric"] or None,
            "mode": data["mode"] or None,
            "min_improvement": data["min_improvement"] or 0.0,
        }


def _initial(model: RegisteredModel) -> dict[str, Any]:
    policy = model.policy
    return {
        "description": model.description,
        "policy": policy.get("name", "best_metric"),
        "metric": policy.get("metric") or "",
        "mode": policy.get("mode") or "",
        "min_improvement": policy.get("min_improvement") or None,
        "store": model.store,
    }


def tags_in(posted: QueryDict) -> dict[str, str]:
    """Return the tags of the rows of a form, those without a name left out."""
    rows = zip(posted.getlist("tag_name"), posted.getlist("tag_value"), strict=False)
    return {name.strip(): value.replace("\r\n", "\n") for name, value in rows if name.strip()}
