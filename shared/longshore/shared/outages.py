"""Tells an outage, which passes, from an error that stays: by the errors of the operating system and of HTTP."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from longshore.shared.errors import LongshoreError, ServiceUnavailable

#: Errors of a file system that has no space, is read-only, was unmounted or does not answer, and of a network.
OUTAGE_ERRNOS: Final = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENODEV, errno.ENXIO),
        *(errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOLCK),
        *(errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EREMOTEIO),
        *(errno.ESHUTDOWN, errno.ENONET),
    }
)
#: Statuses besides 5xx by which a server asks to come again: request timeout, too early, too many requests.
OUTAGE_STATUSES: Final = frozenset({408, 425, 429})
#: Statuses from 500 on that stay: the server does not know the method, or the version of HTTP.
_LASTING_STATUSES: Final = frozenset({501, 505})
#: Codes of S3 and its kin for load, and for credentials that have run out and are renewed.
OUTAGE_CODES: Final = frozenset(
    {
        *("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "RequestTimeout"),
        *("ServiceUnavailable", "InternalError", "ExpiredToken", "ExpiredTokenException", "RequestExpired"),
        *("TokenRefreshRequired", "RequestTimeTooSkewed"),
    }
)
#: Names of exceptions of network libraries, by which they are known without an import of the library.
_OUTAGE_NAMES: Final = frozenset(
    {
        *("ClientConnectionError", "ServerDisconnectedError", "ClientPayloadError", "IncompleteRead"),  # aiohttp
        *("ConnectTimeout", "ReadTimeout", "ChunkedEncodingError", "FSTimeoutError"),  # requests, fsspec
        *("HTTPClientError", "NoCredentialsError", "CredentialRetrievalError"),  # botocore
        *("ServiceRequestError", "ServiceResponseError"),  # azure
    }
)
#: Of botocore and of Google.
_NO_CREDENTIALS: Final = frozenset({"NoCredentialsError", "DefaultCredentialsError"})


def is_outage(error: BaseException) -> bool:
    """Whether an error comes from a service that cannot be reached or is overloaded, so that it can pass by itself.

    What caused the error counts too: file-system drivers report a server that does not answer as a missing file.
    """
    return any(_is_outage(each) for each in causes(error))


def lacks_credentials(error: BaseException) -> bool:
    """Whether an error comes from a driver that has found no credentials. On a worker that passes, as where they come
    from can be away; whoever submits sees it at once, and can set them.
    """
    return any(kind.__name__ in _NO_CREDENTIALS for each in causes(error) for kind in type(each).__mro__)


@contextmanager
def outages_reported() -> Iterator[None]:
    """Report an outage as such, whatever error of ours a reader has made of it.

    :raises ServiceUnavailable: the error was caused by an outage.
    """
    try:
        yield
    except ServiceUnavailable:
        raise
    except LongshoreError as error:
        if not is_outage(error):
            raise
        raise ServiceUnavailable(str(error)) from None


def http_status(error: BaseException) -> int | None:
    """The status with which a server has answered, if an answer caused the error."""
    return next((status for each in causes(error) if (status := _http(each)[0]) is not None), None)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, and so on."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError) or (
        isinstance(error, OSError) and error.errno in OUTAGE_ERRNOS
    ):
        return True
    if any(kind.__name__ in _OUTAGE_NAMES for kind in type(error).__mro__):
        return True
    status, code = _http(error)
    if status in _LASTING_STATUSES:
        return False
    return (status is not None and (500 <= status < 600 or status in OUTAGE_STATUSES)) or code in OUTAGE_CODES


def _http(error: BaseException) -> tuple[int | None, str | None]:
    """The status and the code of the error of a request, as aiohttp, requests and botocore give them."""
    status: object = getattr(error, "status", None) or getattr(error, "status_code", None)
    response: object = getattr(error, "response", None)
    code: object = None
    if isinstance(response, Mapping):  # botocore
        details, metadata = response.get("Error"), response.get("ResponseMetadata")
        code = details.get("Code") if isinstance(details, Mapping) else None
        status = metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else status
    elif response is not None:  # requests
        status = getattr(response, "status_code", status)
    return status if isinstance(status, int) else None, code if isinstance(code, str) else None
