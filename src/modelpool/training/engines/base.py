"""The contract of a job engine: something that sees to it that a job in the table is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from uuid import UUID


class JobEngine(ABC):
    """Told of a job after the transaction that made it; the table of jobs is the truth, the engine only a messenger.

    A call may get lost when a process dies: whatever an engine starts finds its work in the table, claims it there
    (``training.queue``) and writes its results there, under the claim's fence.
    """

    @abstractmethod
    def submit(self, job_id: UUID) -> None:
        """A job was queued."""

    @abstractmethod
    def cancel(self, job_id: UUID) -> None:
        """The cancelling of a running job was asked for; its row says so already."""
