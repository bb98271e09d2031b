"""Models in child processes: whatever was uploaded is parsed and run here, never in the web process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from modelpool.core.formats.base import Arrays, LoadedModel
from modelpool.core.signature import ModelSignature


class Inspection(msgspec.Struct, frozen=True):
    """What a throw-away child found out about a file: it loads, and predicts an example row.

    ``size_bytes`` is the private memory of the child with the model loaded; ``warnings`` are sentences for people.
    """

    format: str
    signature: ModelSignature
    size_bytes: int
    classes: tuple[str | int | float | bool, ...] | None = None
    warnings: tuple[str, ...] = ()


class IsolatedModel(LoadedModel):
    """A model in its own child process; made by :meth:`ModelHost.load`."""

    is_thread_safe = True

    def predict(self, inputs: Arrays, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Ask the child; restarts it, with a growing pause, after it failed.

        Raises :class:`~modelpool.core.errors.ModelUnavailable` when the child dies or misses the deadline.
        """
        raise NotImplementedError

    @property
    def size_bytes(self) -> int:
        """The private memory of the child after it loaded the model."""
        raise NotImplementedError

    def close(self) -> None:
        """End the child."""
        raise NotImplementedError


class ModelHost:
    """Starts child processes for models; one per server process, safe to use from any thread.

    ``memory_limit`` bytes is what one child may take above the libraries it shares; ``predict_timeout_s`` the
    deadline of one call and ``load_timeout_s`` that of loading. Nothing is started before the first use.
    """

    def __init__(
        self,
        memory_limit: int = 4 << 30,
        *,
        predict_timeout_s: float = 30.0,
        load_timeout_s: float = 60.0,
    ) -> None:
        self.memory_limit = memory_limit
        self.predict_timeout_s = predict_timeout_s
        self.load_timeout_s = load_timeout_s

    def inspect(
        self,
        data: bytes | Path | int,
        *,
        format: str | None = None,
        filename: str | None = None,
        signature: ModelSignature | None = None,
        timeout_s: float = 60.0,
    ) -> Inspection:
        """Validate an upload, given as bytes, path or open descriptor, in a throw-away child: load it, read or check
        its signature, predict an example row.

        ``format`` and ``signature`` win over what the file says. Raises
        :class:`~modelpool.core.errors.UntrustedFormat` and :class:`~modelpool.core.errors.UnloadableModel`, also for
        a crash, for ``timeout_s`` passed and for memory beyond the limit.
        """
        raise NotImplementedError

    def load(
        self, data: bytes | Path | int, *, format: str, signature: ModelSignature
    ) -> IsolatedModel:
        """Load verified bytes into a child of its own; the errors are those of :meth:`inspect`."""
        raise NotImplementedError

    def close(self) -> None:
        """End all children; models of this host are unusable afterwards."""
        raise NotImplementedError
