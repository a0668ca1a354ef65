"""Stands before Flower's pages: nobody without the password gets in, and nothing but reading gets through.

Flower's own ``read_only`` refuses command by command. This refuses them all, by their method, whatever they are.
"""

from __future__ import annotations

import hmac
from base64 import b64encode

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

#: Answers without a password, for health checks; says "OK" and nothing else.
HEALTH = "/healthcheck"
_READING = {"GET", "HEAD"}
#: Read by POST, as its query is long: one page of the table of tasks.
_READ_BY_POST = {"/tasks/datatable"}


class Guard(Router):
    """Hands a request on to ``application`` if it may be answered.

    :param user: the name to sign in with.
    :param password: asked for by HTTP basic authentication.
    """

    def __init__(self, application: Application, user: str, password: str) -> None:
        self._application = application
        self._expected = b"Basic " + b64encode(f"{user}:{password}".encode())

    def find_handler(self, request: HTTPServerRequest, **kwargs: object) -> HTTPMessageDelegate | None:
        """Who answers: Flower, or a refusal with status 401 or 403."""
        if request.path != HEALTH and not self._signed_in(request):
            return self._refuse(request, 401)
        if request.method not in _READING and request.path not in _READ_BY_POST:
            return self._refuse(request, 403)
        return self._application.find_handler(request)

    def _signed_in(self, request: HTTPServerRequest) -> bool:
        given = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, self._expected)

    def _refuse(self, request: HTTPServerRequest, status: int) -> HTTPMessageDelegate:
        return self._application.get_handler_delegate(request, Refusal, {"status": status})


class Refusal(RequestHandler):
    """Says no to any method."""

    def initialize(self, status: int) -> None:
        self._status = status

    def check_xsrf_cookie(self) -> None:
        """Nothing is done, so nobody can be made to do it."""

    def prepare(self) -> None:
        self.set_status(self._status)
        if self._status == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="longshore"')
        self.finish("Sign in.\n" if self._status == 401 else "Read only.\n")
