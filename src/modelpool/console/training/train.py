"""Training a model, step by step: the data, the target, the settings. Each step has an address of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.datasets.columns import described
from modelpool.console.datasets.kinds import ACCEPT
from modelpool.console.methods import by_method
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.console.training.schema_form import ParamsForm
from modelpool.console.training.states import has_worker
from modelpool.console.training.target import Candidate, candidates, suggest, suggest_trainer
from modelpool.core.errors import DatasetNotFound, Invalid, JobNotFound, ModelpoolError
from modelpool.core.names import check_name, is_name
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.roles import Permission
from modelpool.training.models import Dataset, TrainerInfo, TrainingJob
from modelpool.training.querysets import trainers
from modelpool.training.services import get_dataset, get_job, submit_job
from modelpool.training.sources import sources_of

_DATASETS = 20
_MODELS = 200
_PREVIEW_ROWS = 8
_MOST_SEARCHED = 250
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]+")
_SUFFIXES = re.compile(r"(\.[a-z]{2,7}){1,2}$")
_DEFAULT_MODEL = "my-model"

ACTIVATE = [
    ("", gettext_lazy("as the model's policy decides")),
    ("if_better", gettext_lazy("if it is better than the active version")),
    ("always", gettext_lazy("always")),
    ("never", gettext_lazy("never: I look at it first")),
]


@dataclass(slots=True)
class Choice:
    """What has been chosen so far, by the address or by the form that was sent."""

    dataset: Dataset
    target: str | None
    trainer: str
    model: str
    activate: str = ""
    params: ParamsForm | None = None
    found: list[Candidate] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def candidate(self) -> Candidate | None:
        """The target's column, ``None`` without one."""
        return next((one for one in self.found if one.name == self.target), None)


@tenant_page(Permission.DEVELOP)
def show(page: TenantPage) -> HttpResponse:
    """Show the step that the address has come to."""
    asked = page.request.GET
    again = _job_of(page, asked["again"]) if asked.get("again") else None
    if again is not None and again.dataset_id and "dataset" not in asked:
        return page_at(page, dataset=again.dataset_id, target=again.target, trainer=again.trainer,
                       model=again.model.name, again=again.pk)  # fmt: skip
    if not asked.get("dataset"):
        return _show_data(page)
    choice = _choice(page, asked, again)
    if choice.dataset.columns is None or choice.target is None:
        return _show_target(page, choice)
    return _show_settings(page, choice)


@tenant_action(Permission.DEVELOP)
def start(page: TenantPage) -> HttpResponse:
    """Start the training and go to the page of the job; complaints come back beside the fields."""
    posted = page.request.POST
    choice = _choice(page, posted, None)
    choice.activate = _text(posted, "activate")
    job = _submit(page, choice)
    if job is None:
        return _show_settings(page, choice, status=422)
    return page.redirect("job", job.pk)


def _submit(page: TenantPage, choice: Choice) -> TrainingJob | None:
    assert choice.params is not None
    params = choice.params.values()
    if not is_name(choice.model):
        choice.errors["model"] = _name_advice(choice.model)
    if choice.params.errors or choice.errors:
        return None
    try:
        return submit_job(
            page.tenant,
            model=check_name(choice.model, field="model"),
            trainer=choice.trainer,
            dataset=choice.dataset,
            target=choice.target or "",
            params=params,
            activate=choice.activate or None,
            actor=page.actor,
        )
    except Invalid as error:
        choice.problems = choice.params.take_errors(error)
    except ModelpoolError as error:
        choice.problems = [str(error)]
    return None


def page_at(page: TenantPage, **asked: object) -> HttpResponse:
    """Lead to the step that ``asked`` has come to."""
    return HttpResponseRedirect(f"{page.url('train')}?{urlencode(asked)}")


def _choice(page: TenantPage, asked: QueryDict, again: TrainingJob | None) -> Choice:
    dataset = _dataset_of(page, asked.get("dataset", ""))
    found = candidates(dataset.columns or (), n_rows=dataset.n_rows or 0)
    offered = list(trainers())
    target = asked.get("target")
    column = next((one for one in found if one.name == target), None)
    trainer = _text(asked, "trainer") or suggest_trainer(column.task if column else "none", offered)
    is_sent = page.request.method == "POST"
    model = _text(asked, "model") or ("" if is_sent else _model_name(dataset))
    choice = Choice(dataset, target, trainer, model, found=found)
    if again is not None:
        choice.activate = again.activate
    info = next((one for one in offered if one.name == trainer), None)
    is_again = again is not None and again.trainer == trainer
    choice.params = ParamsForm(
        schema=info.params_schema if info else {},
        columns=[one.name for one in found if one.name != target],
        initial=again.params if again is not None and is_again else {},
        posted=asked if is_sent else None,
    )
    return choice


def _show_data(page: TenantPage) -> TemplateResponse:
    search = _text(page.request.GET, "q")[:_MOST_SEARCHED]
    rows = Dataset.objects.for_tenant(page.tenant).defer("preview", "columns").order_by("-created_at")
    if search:
        rows = rows.filter(name__icontains=search)
    return _render(
        page,
        "data",
        datasets=rows[:_DATASETS],
        search=search,
        accept=ACCEPT,
        model=page.request.GET.get("model", ""),
        has_sources=bool(sources_of(page.tenant)),
    )


def _show_target(page: TenantPage, choice: Choice) -> TemplateResponse:
    dataset, suggested = choice.dataset, choice.target or suggest(choice.found)
    rows = list(zip(choice.found, described(dataset), strict=False))
    return _render(
        page,
        "target",
        choice=choice,
        dataset=dataset,
        is_waiting=dataset.state == Dataset.State.PENDING or (dataset.columns is None and not _has_failed(dataset)),
        has_failed=_has_failed(dataset) or dataset.columns == [],
        has_worker=has_worker() if dataset.columns is None else True,
        suggested=suggested,
        described=sorted(rows, key=lambda row: row[0].name != suggested),  # what is likely is seen first
        preview=_preview(dataset),
        model=page.request.GET.get("model", ""),
    )


def _show_settings(page: TenantPage, choice: Choice, *, status: int = 200) -> TemplateResponse:
    offered = list(trainers())
    names = RegisteredModel.objects.for_tenant(page.tenant).order_by("-updated_at").values_list("name", flat=True)
    return _render(
        page,
        "settings",
        status=status,
        choice=choice,
        dataset=choice.dataset,
        trainers=offered,
        trainer=next((one for one in offered if one.name == choice.trainer), None),
        models=list(names[:_MODELS]),
        settings_url=_settings_url(page, choice),
        activations=ACTIVATE,
        has_worker=has_worker(),
    )


def _render(page: TenantPage, step: str, *, status: int = 200, **context: Any) -> TemplateResponse:
    names = {"data": _("Data"), "target": _("Target"), "settings": _("Settings")}
    steps = [(name, text, _step_url(page, name, context.get("choice"))) for name, text in names.items()]
    return page.render(
        f"console/training/train_{step}.html",
        title=_("Train a model"),
        status=status,
        step=step,
        steps=steps,
        **context,
    )


def _step_url(page: TenantPage, step: str, choice: Choice | None) -> str:
    """Return where an earlier step is, "" where that is not known yet."""
    model = page.request.GET.get("model", "")
    asked = {"model": model} if model else {}
    if step == "data":
        return f"{page.url('train')}?{urlencode(asked)}" if asked else page.url("train")
    if step == "target" and choice is not None:
        return f"{page.url('train')}?{urlencode({'dataset': choice.dataset.pk, **asked})}"
    return ""


def _settings_url(page: TenantPage, choice: Choice) -> str:
    asked = {"dataset": choice.dataset.pk, "target": choice.target or "", "model": choice.model}
    return f"{page.url('train')}?{urlencode(asked)}"


def _has_failed(dataset: Dataset) -> bool:
    return dataset.state == Dataset.State.FAILED


def _preview(dataset: Dataset) -> dict[str, Any] | None:
    preview = dataset.preview
    return {"columns": preview["columns"], "rows": preview["rows"][:_PREVIEW_ROWS]} if preview else None


def _text(asked: QueryDict, name: str) -> str:
    """Return what was typed, without the character that databases refuse."""
    return asked.get(name, "").replace("\x00", "").strip()


def _dataset_of(page: TenantPage, text: str) -> Dataset:
    try:
        return get_dataset(page.tenant, text)
    except DatasetNotFound as error:
        raise Http404 from error


def _job_of(page: TenantPage, text: str) -> TrainingJob:
    try:
        return get_job(page.tenant, text)
    except JobNotFound as error:
        raise Http404 from error


def _model_name(dataset: Dataset) -> str:
    """Return a name made of the file's: ``Sales 2024.csv`` as ``sales-2024``."""
    stem = _SUFFIXES.sub("", dataset.name.lower())
    name = _NOT_IN_NAMES.sub("-", stem).strip("-_")[:63]
    return name if is_name(name) else _DEFAULT_MODEL


def _name_advice(name: str) -> str:
    if not name:
        return _("Give the model a name.")
    return _("Use 1 to 63 lower-case letters, digits, - and _, beginning with a letter or digit, such as churn-2024.")


train = by_method(get=show, post=start)


def train_url(page: TenantPage, *, dataset: UUID | None = None, model: str = "") -> str:
    """Return where a training with this dataset or for this model begins."""
    asked = {key: str(value) for key, value in (("dataset", dataset), ("model", model)) if value}
    return f"{page.url('train')}?{urlencode(asked)}" if asked else page.url("train")


def trainer_names() -> list[str]:
    """Return the names of the trainers on offer."""
    return list(TrainerInfo.objects.order_by("name").values_list("name", flat=True))
