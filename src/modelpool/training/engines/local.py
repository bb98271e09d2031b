"""The engine without a broker: workers look into the table themselves."""

from __future__ import annotations

from uuid import UUID

from modelpool.training.engines.base import JobEngine


class LocalEngine(JobEngine):
    """Nothing is sent: an idle worker asks the table every quarter of a second, one indexed query."""

    def submit(self, job_id: UUID) -> None:
        """The row in the table is the message."""

    def cancel(self, job_id: UUID) -> None:
        """The flag in the row is the message."""
