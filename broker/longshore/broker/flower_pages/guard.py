"""Guards Flower's pages: every request needs the password, and only requests that read are passed on.

Flower's own ``read_only`` refuses each command separately. The guard refuses all of them, by their HTTP method.
"""

from __future__ import annotations

import hmac
from base64 import b64encode

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

#: The path of health checks: needs no password, and its answer is "OK".
HEALTH = "/healthcheck"
_READ_METHODS = {"GET", "HEAD"}
#: Reads by POST because its query is long: one page of the table of tasks.
_READ_BY_POST = {"/tasks/datatable"}


class Guard(Router):
    """Passes a request on to ``application`` if it is allowed.

    :param user: the name to sign in with.
    :param password: the password for HTTP basic authentication.
    """

    def __init__(self, application: Application, user: str, password: str) -> None:
        self._application = application
        self._expected = b"Basic " + b64encode(f"{user}:{password}".encode())

    def find_handler(self, request: HTTPServerRequest, **kwargs: object) -> HTTPMessageDelegate | None:
        """The handler of a request: Flower's, or a refusal with status 401 or 403."""
        if request.path != HEALTH and not self._signed_in(request):
            return self._refuse(request, 401)
        if request.method not in _READ_METHODS and request.path not in _READ_BY_POST:
            return self._refuse(request, 403)
        return self._application.find_handler(request)

    def _signed_in(self, request: HTTPServerRequest) -> bool:
        authorization = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(authorization, self._expected)

    def _refuse(self, request: HTTPServerRequest, status: int) -> HTTPMessageDelegate:
        return self._application.get_handler_delegate(request, Refusal, {"status": status})


class Refusal(RequestHandler):
    """Refuses a request, whatever its method."""

    def initialize(self, status: int) -> None:
        self._status = status

    def check_xsrf_cookie(self) -> None:
        """Skip the check: a refusal has no side effects."""

    def prepare(self) -> None:
        self.set_status(self._status)
        if self._status == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="longshore"')
        self.finish("Sign in.\n" if self._status == 401 else "Read only.\n")
