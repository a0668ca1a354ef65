"""Every request is answered, whatever fails."""

from __future__ import annotations

import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.producers.gateway.problems import Problem, problem_of, response_to
from longshore.shared.errors import LongshoreError

logger = logging.getLogger(__name__)


def answered(app: ASGIApp) -> ASGIApp:
    """The application whose errors are answers. An unexpected one is logged, and its answer says nothing of it."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        is_started = False

        async def follow(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await app(scope, receive, follow)
            return
        except Problem as error:
            problem = error
        except LongshoreError as error:
            problem = problem_of(error)
        except ClientDisconnect:
            return  # nobody waits for an answer
        except Exception:
            if is_started or scope["type"] != "http":
                raise
            logger.exception("a request failed")
            problem = Problem(500, "failed", "the gateway failed; its log says why")
        if is_started:
            raise problem
        await response_to(problem, scope["path"])(scope, receive, send)

    return call
