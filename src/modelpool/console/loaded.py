"""The page of loaded models, for operators: what each machine holds in memory, and which models are the largest."""

from __future__ import annotations

from typing import Any

from modelpool.monitoring.querysets import largest_loaded, nodes

_SHOWN = 200


def loaded_context() -> dict[str, Any]:
    """Return what the page shows; web processes tell each few seconds what they hold."""
    return {"title": "Loaded models", "nodes": nodes(), "loaded": largest_loaded(limit=_SHOWN), "most": _SHOWN}
