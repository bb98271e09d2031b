"""Fitted scikit-learn estimators, written with skops."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import msgspec

from modelpool.core.errors import Invalid, ModelpoolError, UnloadableModel, UntrustedFormat
from modelpool.core.formats.base import LoadedModel, ModelFormat
from modelpool.core.formats.sklearn_types import REVIEWED_TYPES
from modelpool.core.signature import ModelSignature

SIGNATURE_MEMBER = "modelpool.json"
"""Member of the zip file that holds our signature; skops reads members by name and ignores it."""

MAX_MEMBERS = 200_000
MAX_INFLATION = 100
MIN_INFLATED_BYTES = 64 << 20
"""A file may hold 64 MiB, or a hundred times its own size; deflate alone reaches a thousand."""


class SklearnFormat(ModelFormat):
    """A ``.skops`` file of reviewed types only; our signature is the zip member ``modelpool.json``."""

    name = "sklearn"
    suffix = ".skops"
    is_data_only = True

    def matches(self, head: bytes) -> bool:
        """A skops file is a zip archive."""
        return head.startswith(b"PK\x03\x04")

    def save(self, model: Any, *, signature: ModelSignature | None = None) -> bytes:
        """Write a fitted estimator; what could not be loaded again is refused now."""
        import skops.io

        try:
            data: bytes = skops.io.dumps(model)
        except MemoryError:
            raise
        except Exception as error:
            raise UntrustedFormat(f"skops cannot write a {type(model).__name__}: {_brief(error)}") from error
        _refuse_unreviewed(data)
        return data if signature is None else _with_signature(data, signature)

    def signature_of(self, data: bytes) -> ModelSignature:
        """Read our signature, else derive one from what the estimator remembers of its fit, and one prediction."""
        from modelpool.core.formats.sklearn_signature import derive_signature

        written = _written_signature(data)
        return written if written is not None else derive_signature(build_estimator(data)[0])

    def load(self, data: bytes, signature: ModelSignature) -> LoadedModel:
        """Audit, build and check the estimator, and make it use one thread."""
        from modelpool.core.formats.sklearn_model import SklearnModel

        estimator, notes = build_estimator(data)
        return SklearnModel(estimator, signature, size_bytes=3 * len(data), warnings=notes)

    def preload(self) -> None:
        """Import scikit-learn's estimators, pandas and skops: two seconds that no child spends again."""
        from importlib import import_module

        from modelpool.core.formats.sklearn_serial import run_serially

        for name in _PRELOADED:
            import_module(name)
        run_serially()


_PRELOADED = (
    "pandas", "skops.io", "sklearn.calibration", "sklearn.compose", "sklearn.ensemble", "sklearn.feature_selection",
    "sklearn.impute", "sklearn.linear_model", "sklearn.naive_bayes", "sklearn.neighbors", "sklearn.neural_network",
    "sklearn.pipeline", "sklearn.preprocessing", "sklearn.svm", "sklearn.tree", "sklearn.decomposition",
    "sklearn.model_selection", "modelpool.core.formats.sklearn_check", "modelpool.core.formats.sklearn_model",
    "modelpool.core.formats.sklearn_signature",
)  # fmt: skip


def build_estimator(data: bytes) -> tuple[Any, tuple[str, ...]]:
    """Return the checked estimator, and sentences about releases that differ.

    Raises :class:`~modelpool.core.errors.UntrustedFormat` before anything off the list is built and
    :class:`~modelpool.core.errors.UnloadableModel` for anything else that is wrong with the file.
    """
    import skops.io

    from modelpool.core.formats.sklearn_check import check_structure

    _check_archive(data)
    _refuse_unreviewed(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator = skops.io.loads(data, trusted=sorted(REVIEWED_TYPES))
            check_structure(estimator)
        except ModelpoolError:
            raise
        except MemoryError as error:
            raise UnloadableModel("The scikit-learn model needs more memory than the limit.") from error
        except Exception as error:  # skops and scikit-learn raise whatever the crafted state provokes
            raise UnloadableModel(f"The file is not a loadable scikit-learn model: {_brief(error)}") from error
    if not hasattr(estimator, "predict"):
        raise UnloadableModel(f"The file holds a {type(estimator).__name__}, which cannot predict.")
    return estimator, tuple(dict.fromkeys(_brief(warning.message) for warning in caught))[:10]


def _check_archive(data: bytes) -> None:
    """Refuse what is no zip file, or would inflate beyond measure, by its directory alone."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise UnloadableModel(f"The file is not a skops file, or it is cut off: {_brief(error)}") from error
    if "schema.json" not in {member.filename for member in members}:
        raise UnloadableModel("The file is a zip archive but not a skops file: it has no schema.json.")
    inflated = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or inflated > max(MIN_INFLATED_BYTES, MAX_INFLATION * len(data)):
        raise UnloadableModel(
            f"The skops file of {len(data)} bytes would inflate to {inflated} bytes, which is not accepted."
        )


def _refuse_unreviewed(data: bytes) -> None:
    import skops.io

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - REVIEWED_TYPES)
    except MemoryError as error:
        raise UnloadableModel("The scikit-learn model needs more memory than the limit.") from error
    except Exception as error:
        raise UnloadableModel(f"The file is not a readable skops file: {_brief(error)}") from error
    if unknown:
        names = ", ".join(str(name)[:120] for name in unknown[:5])
        raise UntrustedFormat(
            f"The model holds types that are not on the reviewed list: {names}. Use scikit-learn's own estimators and "
            "transformers without functions of your own, or upload the model as ONNX."
        )


def _with_signature(data: bytes, signature: ModelSignature) -> bytes:
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(SIGNATURE_MEMBER, msgspec.json.encode(signature))
    return buffer.getvalue()


def _written_signature(data: bytes) -> ModelSignature | None:
    _check_archive(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if SIGNATURE_MEMBER not in archive.namelist():
            return None
        try:
            return msgspec.json.decode(archive.read(SIGNATURE_MEMBER), type=ModelSignature)
        except (msgspec.DecodeError, zipfile.BadZipFile, ValueError) as error:
            raise Invalid(f"The member {SIGNATURE_MEMBER} is not a signature: {_brief(error)}") from error


def _brief(error: BaseException | str) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
