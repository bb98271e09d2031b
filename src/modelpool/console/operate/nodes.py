"""The page of machines: it renews itself."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _

from modelpool.console.operate.machines import machines
from modelpool.console.pages import Page, operator_page


@operator_page
def nodes(page: Page) -> HttpResponse:
    """Show what machines tell each few seconds."""
    if page.is_fragment:
        return page.fragment("console/operate/nodes_live.html", machines=machines())
    return page.render("console/operate/nodes.html", title=_("Nodes"), machines=machines())
