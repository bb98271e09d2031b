"""Every error of Django's side as ``application/problem+json``; the table is :mod:`modelpool.core.problems`."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Any

from django.core import exceptions as django_exceptions
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.views import defaults
from rest_framework import exceptions as drf

from modelpool import conf
from modelpool.core import errors
from modelpool.core.problems import MEDIA_TYPE, Problem, build_problem, problem_of

logger = logging.getLogger(__name__)

_PAGES = ("/console", "/static")
_FORBIDDEN = "This credential may not do that."
_NO_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_MEANS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_UNREADABLE = "The body could not be read to its end, or is not the form that its type says."


def problem_response(problem: Problem) -> HttpResponse:
    """Return the document as a response, with its headers."""
    response = HttpResponse(problem.to_json(), status=problem.status, content_type=MEDIA_TYPE, headers=problem.headers)
    response["Cache-Control"] = "no-store"
    return response


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Answer what a REST view raised; ``None`` hands a fault of ours to Django: its log, then :func:`server_error`."""
    request = context.get("request")
    return answer(error, request_id=getattr(request, "request_id", None))


def answer(error: BaseException, *, request_id: str | None) -> HttpResponse | None:
    """Return the response for an error that is foreseen, ``None`` for any other."""
    known = _as_our_own(error)
    if known is not None:
        problem = problem_of(known, request_id=request_id)
        if problem.status == 503:
            logger.warning("answered 503 %s: %s", problem.code, problem.detail)
        return None if problem.status == 500 else problem_response(problem)
    if isinstance(error, drf.MethodNotAllowed):
        detail = "This route does not know that method; the header 'Allow' lists those it knows."
        return _plain(405, "method_not_allowed", detail, request_id)
    if isinstance(error, drf.NotAcceptable):
        return _plain(406, "not_acceptable", "This route has no form that the header 'Accept' asks for.", request_id)
    return None


Translation = Callable[[Any], errors.ModelpoolError]

_TRANSLATIONS: list[tuple[tuple[type[Exception], ...], Translation]] = [
    ((drf.ParseError,), lambda error: errors.Malformed(str(error.detail))),
    ((drf.NotAuthenticated, drf.AuthenticationFailed), lambda _: errors.NotAuthenticated()),
    ((drf.PermissionDenied, django_exceptions.PermissionDenied), lambda _: errors.PermissionDenied(_FORBIDDEN)),
    ((drf.NotFound, Http404), lambda _: errors.NotFound("There is nothing at this address.")),
    ((drf.UnsupportedMediaType,), lambda error: errors.UnsupportedMediaType(str(error.detail))),
    ((drf.Throttled,), lambda error: errors.QuotaExceeded("Too many requests.", retry_after_s=error.wait or 1.0)),
    ((django_exceptions.RequestDataTooBig,), lambda _: errors.TooLarge(int(conf.settings().limits.max_json))),
    (
        (django_exceptions.TooManyFieldsSent, django_exceptions.TooManyFilesSent),
        lambda _: errors.Malformed("The form has too many fields or files."),
    ),
    ((MultiPartParserError, UnreadablePostError), lambda _: errors.Malformed(_UNREADABLE)),
    (
        (django_exceptions.SuspiciousOperation,),
        lambda _: errors.Malformed("This is not a request that is answered here."),
    ),
    (
        (OperationalError, InterfaceError),
        lambda _: errors.DatabaseUnavailable("The database does not answer; try again."),
    ),
]
"""From what Django and the REST framework raise for bad requests to our own tree; the first that fits counts."""


def _as_our_own(error: BaseException) -> errors.ModelpoolError | None:
    if isinstance(error, errors.ModelpoolError):
        return error
    for kinds, translate in _TRANSLATIONS:
        if isinstance(error, kinds):
            translated = translate(error)
            if isinstance(translated, errors.DatabaseUnavailable):
                logger.warning("the database does not answer", exc_info=error)
            return translated
    return _of_machine(error) if isinstance(error, OSError) else None


def _of_machine(error: OSError) -> errors.ModelpoolError | None:
    """Return our error where this machine ran out of something; any other fault of its is one of ours."""
    if error.errno in _NO_DISK:
        found: errors.ModelpoolError = errors.StorageQuotaExceeded("The server's own disk is full.")
    elif error.errno in _NO_MEANS:
        found = errors.Overloaded("The server has no memory or descriptors left; try again.", retry_after_s=2)
    else:
        return None
    logger.warning("this machine ran out of something", exc_info=error)
    return found


def _plain(status: int, code: str, detail: str, request_id: str | None) -> HttpResponse:
    return problem_response(build_problem(status, code=code, detail=detail, request_id=request_id))


def _is_page(request: HttpRequest) -> bool:
    return request.path.startswith(_PAGES)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler400``."""
    if _is_page(request):
        return defaults.bad_request(request, exception)
    response = answer(exception, request_id=getattr(request, "request_id", None))
    return response or _plain(400, "malformed", "The request is not one that is answered here.", None)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler403``."""
    if _is_page(request):
        return defaults.permission_denied(request, exception)
    return _plain(403, "permission_denied", _FORBIDDEN, getattr(request, "request_id", None))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler404``."""
    if _is_page(request):
        return defaults.page_not_found(request, exception)
    detail = "There is nothing at this address; /api/docs lists what there is."
    return _plain(404, "not_found", detail, getattr(request, "request_id", None))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's ``handler500``: never a traceback; the log has it under the request's id."""
    if _is_page(request):
        return defaults.server_error(request)
    return problem_response(problem_of(RuntimeError(), request_id=getattr(request, "request_id", None)))
