"""The contract check of model formats, for the built-in ones and for those that others write.

Each check takes a :class:`FormatCase`::

    @pytest.mark.parametrize("check", FORMAT_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check, case):
        check(case)

Checks raise ``AssertionError``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelpool.core.errors import Invalid
from modelpool.core.formats.base import Arrays, LoadedModel, ModelFormat
from modelpool.core.signature import ModelSignature


@dataclass(frozen=True, slots=True)
class FormatCase:
    """A format with a fitted model, what it is asked, and what it must answer within ``tolerance``.

    ``inputs`` hold at least two rows; ``expected`` has an array for each output of the signature.
    """

    format: ModelFormat
    model: Any
    signature: ModelSignature
    inputs: Arrays
    expected: dict[str, np.ndarray]
    tolerance: float = 1e-6

    def load(self) -> LoadedModel:
        """Return the model after a round trip through its file."""
        return self.format.load(self.format.save(self.model, signature=self.signature), self.signature)


Check = Callable[[FormatCase], None]


def check_answers(case: FormatCase) -> None:
    """The loaded model answers like the one that was saved, by name, in the shapes and types of the signature."""
    answers = case.load().predict(case.inputs, case.signature.methods)
    assert list(answers) == list(case.signature.methods)
    for spec in case.signature.outputs:
        _assert_alike(answers[spec.name], case.expected[spec.name], case.tolerance)
        assert answers[spec.name].ndim == len(spec.shape)
        assert answers[spec.name].dtype == spec.numpy_dtype


def check_each_output_alone(case: FormatCase) -> None:
    """One output can be asked without the others."""
    model = case.load()
    for name in case.signature.methods:
        answers = model.predict(case.inputs, [name])
        assert list(answers) == [name]
        _assert_alike(answers[name], case.expected[name], case.tolerance)


def check_rows_are_independent(case: FormatCase) -> None:
    """A row answers alone as it does among others, also when it is a view of a larger array."""
    model = case.load()
    last = {name: array[-1:] for name, array in case.inputs.items()}
    for name, array in model.predict(last, case.signature.methods).items():
        _assert_alike(array, case.expected[name][-1:], case.tolerance)


def check_signature_travels(case: FormatCase) -> None:
    """The signature that was saved is read back equal."""
    assert case.format.signature_of(case.format.save(case.model, signature=case.signature)) == case.signature


def check_head_is_recognised(case: FormatCase) -> None:
    """The format knows its own files by their first 64 bytes, and no empty or random ones."""
    assert case.format.matches(case.format.save(case.model, signature=case.signature)[:64])
    assert not case.format.matches(b"")
    assert not case.format.matches(bytes(range(255, 191, -1)))


def check_size_is_told(case: FormatCase) -> None:
    """The memory it holds is more than nothing."""
    assert case.load().size_bytes > 0


def check_broken_files(case: FormatCase) -> None:
    """Cut, altered and foreign bytes raise :class:`~modelpool.core.errors.Invalid`, with a sentence."""
    data = case.format.save(case.model, signature=case.signature)
    for broken in (b"", b"\0" * 100, bytes(range(256)) * 4, data[: len(data) // 2], data[:40]):
        for read in (case.format.signature_of, lambda file: case.format.load(file, case.signature)):
            assert _refusal(lambda: read(broken)) > 10, f"{len(broken)} broken bytes were taken for a model"  # noqa: B023


def check_strange_signature(case: FormatCase) -> None:
    """A signature with other inputs than the file's is refused when it is loaded, not when it predicts."""
    data = case.format.save(case.model)
    wrong = ModelSignature(inputs=case.signature.inputs[:0], outputs=case.signature.outputs)
    assert _refusal(lambda: case.format.load(data, wrong)), "a model was loaded with a signature that has no inputs"


FORMAT_CHECKS: tuple[Check, ...] = (
    check_answers,
    check_each_output_alone,
    check_rows_are_independent,
    check_signature_travels,
    check_head_is_recognised,
    check_size_is_told,
    check_broken_files,
    check_strange_signature,
)


def _refusal(action: Callable[[], Any]) -> int:
    """Return the length of the sentence that the action is refused with, 0 when it is not."""
    try:
        action()
    except Invalid as error:
        return len(error.detail)
    return 0


def _assert_alike(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert actual.shape == expected.shape
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
    else:
        assert actual.tolist() == expected.tolist()
