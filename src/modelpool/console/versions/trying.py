"""Asking a version for predictions from its page: the same way as with a key, and the same call to take along."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as _

from modelpool import conf
from modelpool.console.figures import label_of
from modelpool.console.pages import TenantPage
from modelpool.console.scoping import operates
from modelpool.console.versions.fields import MOST_FIELDS, Column, Field, fields_of, problems_of, row_of
from modelpool.console.versions.pasted import json_in
from modelpool.console.versions.snippets import Call, Snippet, snippets_of
from modelpool.core.errors import ModelpoolError, TooLarge
from modelpool.core.signature import ModelSignature
from modelpool.http.predicting import predict
from modelpool.registry.models import ModelVersion

MODES = ("row", "json", "csv")
MOST_PASTED = 200_000
"""Characters; more is for programs."""
_MOST_ROWS = 100
_MOST_CLASSES = 20
_WHOLE_BODIES = frozenset({"instances", "inputs", "dataframe_split", "dataframe_records", "params"})


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The probability of one class."""

    label: str
    probability: float
    is_predicted: bool


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """What the model says of one row, the most probable classes first."""

    number: int
    prediction: str
    likelihoods: list[Likelihood]
    n_others: int = 0

    @property
    def first(self) -> Likelihood | None:
        """The probability of the prediction, or the largest."""
        chosen = [one for one in self.likelihoods if one.is_predicted]
        return next(iter(chosen or self.likelihoods), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    rows: list[AnsweredRow]
    n_rows: int
    raw: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing came back; ``problems`` are those of fields that the form does not have."""

    text: str
    problems: list[tuple[str, str]] = field(default_factory=list)
    can_be_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """The part of the page: the form with what was typed, the answer if there was a question, and the same call."""

    fields: list[Field]
    mode: str
    method: str
    methods: Sequence[str]
    pasted: Mapping[str, str]
    snippets: list[Snippet]
    answer: Answer | None = None
    refusal: Refusal | None = None


def new_trial(page: TenantPage, version: ModelVersion, columns: Sequence[Column]) -> Trial:
    """Return the form as it is at first: filled with an example."""
    return _trial(page, version, columns, posted={})


def tried(page: TenantPage, version: ModelVersion, columns: Sequence[Column]) -> Trial:
    """Ask the version what was posted."""
    posted = {name: str(value) for name, value in page.request.POST.items()}
    signature = ModelSignature.from_dict(version.signature)
    mode, began = _mode(signature, posted), monotonic()
    try:
        if mode != "row" and len(posted.get(mode, "")) > MOST_PASTED:
            raise TooLarge(MOST_PASTED, unit="characters")
        call = _call(page, version, signature, posted)
        answer, _route = predict(
            page.tenant,
            model=version.model.name,
            selector=version.number,
            body=call.body.encode(),
            content_type=call.content_type.encode(),
            method=_method(signature, posted),
            is_operator=operates(page.request),
        )
    except ModelpoolError as error:
        found = {item.field: item.detail for item in error.errors}
        of_fields = {}
        if mode == "row":
            of_fields = {spec.name: found.pop(f"instances[0].{spec.name}", "") for spec in signature.inputs}
            of_fields |= problems_of(signature, row_of(signature, posted))
        refusal = Refusal(_text_of(error, of_fields), list(found.items()), error.retry_after_s is not None)
        return _trial(page, version, columns, posted=posted, problems=of_fields, refusal=refusal)
    return _trial(page, version, columns, posted=posted, answer=_answer(answer, seconds=monotonic() - began))


def _trial(
    page: TenantPage,
    version: ModelVersion,
    columns: Sequence[Column],
    *,
    posted: Mapping[str, str],
    problems: Mapping[str, str] | None = None,
    **outcome: Any,
) -> Trial:
    signature = ModelSignature.from_dict(version.signature)
    fields = fields_of(signature, columns, typed=posted, problems=problems or {})
    shown = {one.name: one.value for one in fields}
    example = row_of(signature, shown)
    pasted = {
        "json": posted.get("json", json.dumps([example], indent=2, ensure_ascii=False)),
        "csv": posted.get("csv", _csv(example)) if signature.is_tabular else "",
    }
    return Trial(
        fields=fields if "row" in _modes(signature) else [],
        mode=_mode(signature, posted),
        method=_method(signature, posted),
        methods=signature.methods,
        pasted=pasted,
        snippets=snippets_of(_call(page, version, signature, {**shown, **pasted, **posted})),
        **outcome,
    )


def _modes(signature: ModelSignature) -> Sequence[str]:
    """A row of very many values is pasted: nobody fills in such a form."""
    return MODES if len(signature.inputs) <= MOST_FIELDS else MODES[1:]


def _mode(signature: ModelSignature, posted: Mapping[str, str]) -> str:
    mode, modes = posted.get("mode", ""), _modes(signature)
    return mode if mode in modes else modes[0]


def _method(signature: ModelSignature, posted: Mapping[str, str]) -> str:
    """The method that was asked for; at first that of probabilities."""
    usual = "predict_proba" if "predict_proba" in signature.methods else signature.methods[0]
    return posted.get("method", "") if posted.get("method") in signature.methods else usual


def _call(page: TenantPage, version: ModelVersion, signature: ModelSignature, posted: Mapping[str, str]) -> Call:
    """Return what is sent: the row of the form, or what was pasted."""
    mode, method = _mode(signature, posted), _method(signature, posted)
    url = address_of(page, version)
    if mode == "csv":
        asked = f"?method={quote(method)}" if method != signature.methods[0] else ""
        return Call(url + asked, posted.get("csv", ""), "text/csv")
    if mode == "json":
        return Call(url, _whole(posted.get("json", ""), signature, method), "application/json")
    return Call(url, _body([row_of(signature, posted)], signature, method), "application/json")


def address_of(page: TenantPage, version: ModelVersion) -> str:
    """Return where programs ask this version."""
    base = conf.settings().server.public_url or page.request.build_absolute_uri("/")
    model = quote(version.model.name)
    return f"{base.rstrip('/')}/api/v1/tenants/{page.tenant.name}/models/{model}/versions/{version.number}/predict"


def _body(instances: Any, signature: ModelSignature, method: str) -> str:
    body: dict[str, Any] = {"instances": instances}
    if method != signature.methods[0]:
        body["params"] = {"method": method}
    return json.dumps(body, ensure_ascii=False)


def _whole(text: str, signature: ModelSignature, method: str) -> str:
    """Make a whole body of pasted rows, or of one row; a body that is whole, and what is no JSON, stay as they are."""
    try:
        pasted = json_in(text)
    except ValueError:
        return text
    if isinstance(pasted, list):
        return _body(pasted, signature, method)
    if isinstance(pasted, dict) and not _WHOLE_BODIES & set(pasted):
        return _body([pasted], signature, method)
    return text


def _csv(row: Mapping[str, Any]) -> str:
    return f"{_csv_line(row)}\n{_csv_line(row.values())}\n"


def _csv_line(cells: Any) -> str:
    return ",".join(_csv_cell(cell) for cell in cells)


def _csv_cell(cell: Any) -> str:
    text = "" if cell is None else label_of(cell)
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',;"\n\r\t|') else text


def _text_of(error: ModelpoolError, of_fields: Mapping[str, str]) -> str:
    wrong = [name for name, problem in of_fields.items() if problem]
    if wrong:
        return _("The model does not take this row: look at %(fields)s.") % {"fields": ", ".join(wrong[:5])}
    return str(error)


def _answer(raw: bytes, *, seconds: float) -> Answer:
    body = json.loads(raw)
    predictions, classes = body["predictions"], body.get("classes") or []
    probabilities = body.get("probabilities") or []
    rows = [
        _answered(number, prediction, classes, probabilities[number] if probabilities else [])
        for number, prediction in enumerate(predictions[:_MOST_ROWS])
    ]
    shown = json.dumps(body, indent=2, ensure_ascii=False)
    return Answer(rows, len(predictions), shown[:MOST_PASTED], seconds)


def _answered(number: int, prediction: Any, classes: Sequence[Any], probabilities: Any) -> AnsweredRow:
    said = _said(prediction)
    if not isinstance(probabilities, list):
        return AnsweredRow(number + 1, said, [])
    labels = classes if len(classes) == len(probabilities) else range(len(probabilities))
    found = [
        Likelihood(label_of(label), value, label == prediction)
        for label, value in zip(labels, probabilities, strict=True)
        if isinstance(value, float | int)
    ]
    found.sort(key=lambda one: -one.probability)
    return AnsweredRow(number + 1, said, found[:_MOST_CLASSES], max(0, len(found) - _MOST_CLASSES))


def _said(prediction: Any) -> str:
    """Write a prediction as people read it; the answer as JSON has all digits."""
    if isinstance(prediction, float):
        return f"{prediction:.6g}" if abs(prediction) < 1e6 else f"{prediction:,.0f}"
    return prediction if isinstance(prediction, str) else json.dumps(prediction, ensure_ascii=False)
