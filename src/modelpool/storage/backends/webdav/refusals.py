"""What a server's refusal or silence means, in words that name the setting to correct; never with credentials."""

from __future__ import annotations

import ssl

from modelpool.core.errors import ModelpoolError, StoreFull, StoreUnavailable

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_MAY_NOT = frozenset({403, 405, 501})


def is_passing(status: int) -> bool:
    """Whether another attempt may be answered better."""
    return status in _PASSING


def refusal(alias: str, url: str, status: int, doing: str) -> ModelpoolError:
    """Return our error for a status that was not hoped for; ``doing`` completes "could not …"."""
    if status == 507:
        return StoreFull(f"The artifact store could not {doing}: its server has no room left.")
    return unavailable(url, doing, _reason(alias, status), f"status {status}")


def silence(alias: str, url: str, doing: str, error: Exception) -> StoreUnavailable:
    """Return our error for a connection that did not come about, or broke off."""
    reason = "its server does not answer, or broke off"
    if _is_about_trust(error):
        reason = f"its server's certificate is not trusted; correct stores.{alias}.ca_file or .url"
    return unavailable(url, doing, reason, type(error).__name__)


def unavailable(url: str, doing: str, reason: str, note: str) -> StoreUnavailable:
    """Return the error with a note, which logs show and clients do not see."""
    found = StoreUnavailable(f"The artifact store could not {doing}: {reason}.")
    found.add_note(f"at {url}; {note}")
    return found


def _reason(alias: str, status: int) -> str:
    if status == 401:
        return f"its server refuses the credentials; correct stores.{alias}.username and .password, or .bearer_token"
    if status in _MAY_NOT:
        return f"its server does not allow it (status {status}); let the account of stores.{alias} write"
    if status == 413:
        return "the file is larger than its server takes (status 413); raise its limit, in nginx client_max_body_size"
    if status in (404, 409):
        return f"there is no such folder; make it, or correct stores.{alias}.url"
    if 300 <= status < 400:
        return f"its server sends us elsewhere (status {status}); correct stores.{alias}.url"
    return f"its server answered with status {status}"


def _is_about_trust(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
