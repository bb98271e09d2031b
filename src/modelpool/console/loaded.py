"""The page of loaded models, for operators: what each machine holds in memory, and which models are the largest."""

from __future__ import annotations

from django.http import HttpResponse

from modelpool.console.pages import Page, operator_page
from modelpool.monitoring.querysets import largest_loaded, nodes

_SHOWN = 200


@operator_page
def loaded(page: Page) -> HttpResponse:
    """Show what web processes tell each few seconds."""
    return page.render(
        "console/loaded.html", title="Loaded models", nodes=nodes(), loaded=largest_loaded(limit=_SHOWN), most=_SHOWN
    )
