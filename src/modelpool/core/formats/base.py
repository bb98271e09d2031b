"""The contract of a model format: how bytes become something that predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from modelpool.core.signature import ModelSignature

Arrays = Mapping[str, np.ndarray]
"""Input or output arrays by name; the first dimension of each counts the rows."""


class TableArrays(Mapping[str, np.ndarray]):
    """The columns of a table as two matrices: numbers ``(n_rows, k)`` float64, texts ``(n_rows, m)`` object.

    A mapping of columns like any other :data:`Arrays`, except that a model that takes whole matrices (every compiled
    one does) need not assemble them again, which would cost more than a small model's prediction. Booleans and
    integers are numbers here, missing ones NaN; datetimes are seconds. Both matrices must be C-contiguous.
    """

    __slots__ = ("number_names", "numbers", "text_names", "texts")

    def __init__(
        self,
        *,
        numbers: np.ndarray | None = None,
        number_names: tuple[str, ...] = (),
        texts: np.ndarray | None = None,
        text_names: tuple[str, ...] = (),
    ) -> None:
        self.numbers, self.number_names = numbers, number_names
        self.texts, self.text_names = texts, text_names

    def __getitem__(self, name: str) -> np.ndarray:
        if self.numbers is not None and name in self.number_names:
            return self.numbers[:, self.number_names.index(name)]
        if self.texts is not None and name in self.text_names:
            return self.texts[:, self.text_names.index(name)]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*self.number_names, *self.text_names))

    def __len__(self) -> int:
        return len(self.number_names) + len(self.text_names)


class LoadedModel(ABC):
    """A model in memory, ready to answer; used by one thread at a time unless ``is_thread_safe``."""

    signature: ModelSignature
    is_thread_safe: ClassVar[bool] = False
    warnings: tuple[str, ...] = ()
    """Sentences for people about the file, such as that another release of the library wrote it."""

    @abstractmethod
    def predict(self, inputs: Arrays, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the asked ``outputs`` (names of the signature's) for inputs that fit the signature.

        A column is ``(n_rows,)``, a matrix ``(n_rows, n_features)``; ``predict`` gives ``(n_rows,)`` or
        ``(n_rows, n_targets)``, ``predict_proba`` ``(n_rows, n_classes)`` in the order of ``signature.classes``.
        Integer and boolean columns that are nullable may come as float64 with NaN.

        Raises :class:`~modelpool.core.errors.PredictionFailed` for inputs that the model cannot take, and
        :class:`~modelpool.core.errors.ModelUnavailable` when the process that holds it failed.
        """

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """The memory it holds, as well as it can be told."""

    def close(self) -> None:  # noqa: B027 — most need nothing
        """Give back what garbage collection would not; called once, never during a prediction."""


class ModelFormat(ABC):
    """One way to write a model as one file.

    ``is_data_only`` says that parsing a file of this format cannot run code of its author's choice. It is one layer:
    uploads are parsed in a child process whatever it says.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    media_type: ClassVar[str] = "application/octet-stream"
    is_data_only: ClassVar[bool]

    @abstractmethod
    def matches(self, head: bytes) -> bool:
        """Say whether a file that begins with ``head`` (up to 64 bytes) may be of this format."""

    @abstractmethod
    def save(self, model: Any, *, signature: ModelSignature | None = None) -> bytes:
        """Write a fitted model; raise :class:`~modelpool.core.errors.UntrustedFormat` for types off the reviewed list.

        A ``signature`` is written into the file, where :meth:`signature_of` finds it again and strangers ignore it.
        """

    @abstractmethod
    def signature_of(self, data: bytes) -> ModelSignature:
        """Read the signature from the file itself; raise :class:`~modelpool.core.errors.Invalid` when it holds none."""

    def check(self, data: bytes) -> None:  # noqa: B027 — some need nothing
        """Look at what is too dear to be looked at again at every load; called once, before a version exists.

        Raises as :meth:`load`.
        """

    @abstractmethod
    def load(self, data: bytes, signature: ModelSignature) -> LoadedModel:
        """Build the model from verified bytes.

        Raises :class:`~modelpool.core.errors.UntrustedFormat` before anything off the reviewed list is built, and
        :class:`~modelpool.core.errors.UnloadableModel` for everything else that is wrong with the file.
        """

    def load_own(self, data: bytes, signature: ModelSignature) -> LoadedModel:
        """Build the model from bytes that we have written, as is proven: what they hold need not be looked at."""
        return self.load(data, signature)

    def preload(self) -> None:  # noqa: B027 — some need nothing
        """Import what loading needs; called once in the process that model processes are forked from."""
