"""From the operating system's errors to ours, at the seam of the file-system store."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from modelpool.core.errors import ModelpoolError, StoreFull, StoreUnavailable

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate ``OSError`` but ``FileExistsError`` and ``FileNotFoundError``; ``doing`` completes "could not …"."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise translate(error, doing) from error


def translate(error: OSError, doing: str) -> ModelpoolError:
    """Return our error: no space left is 507, everything else (EIO, ESTALE, EROFS, EACCES …) may pass and is 503.

    The message names no path, since it may reach a client; a note, which logs show, does.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    kind = StoreFull if error.errno in _NO_SPACE else StoreUnavailable
    translated_error = kind(f"The artifact store could not {doing}: {reason}.")
    translated_error.add_note(f"path: {error.filename!r}")
    return translated_error
