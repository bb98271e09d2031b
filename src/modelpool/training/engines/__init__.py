"""Who runs the jobs: one file per engine."""

from modelpool.training.engines.base import JobEngine
from modelpool.training.engines.local import LocalEngine

__all__ = ["JobEngine", "LocalEngine", "get_engine"]

_ENGINES: dict[str, type[JobEngine]] = {"local": LocalEngine}


def get_engine(name: str) -> JobEngine:
    """Return the engine that ``[jobs] engine`` names; the settings allow no other names."""
    return _ENGINES[name]()
