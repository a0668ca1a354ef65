"""The jobs that follow a job, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, Unpack, cast
from uuid import UUID

from pydantic import JsonValue

from longshore.producers.data import Data, GenerateData
from longshore.producers.http.data import RequestBodies, Upload
from longshore.producers.job import Job
from longshore.producers.planning.options import FORMAT
from longshore.producers.then import Then
from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from longshore.producers.options.keywords import EvaluateOptions, GenerateOptions, InferOptions, PromoteOptions
    from longshore.producers.planning.chain import LinkPlanner
    from longshore.shared.ledger.records import NewJob


class HttpThen(Then[Job]):
    """Submits the next job of a chain.

    :param after: the job before it.
    :param send: sends the body of a request to the gateway.
    """

    def __init__(self, after: UUID, send: Callable[[UUID, Mapping[str, JsonValue]], Job], upload: Upload) -> None:
        super().__init__(_refuse)
        self._after = after
        self._send = send
        self._upload = upload

    def evaluate(self, data: Data, target: str | None = None, **options: Unpack[EvaluateOptions]) -> Job:
        """See :meth:`Then.evaluate`."""
        bodies = RequestBodies(self._upload)
        body = {"kind": "evaluate", "data": bodies.rows(data), "target": target}
        return self._link(body, bodies, cast("Mapping[str, object]", options))

    def infer(self, data: Data, **options: Unpack[InferOptions]) -> Job:
        """See :meth:`Then.infer`."""
        bodies = RequestBodies(self._upload)
        body = {"kind": "infer", "data": bodies.rows(data)}
        return self._link(body, bodies, cast("Mapping[str, object]", options))

    def generate(self, data: GenerateData, **options: Unpack[GenerateOptions]) -> Job:
        """See :meth:`Then.generate`."""
        bodies = RequestBodies(self._upload)
        body = {"kind": "generate", "data": bodies.prompts(data, options.get(FORMAT))}
        return self._link(body, bodies, cast("Mapping[str, object]", options))

    def promote(self, alias: str, *, if_: str | None = None, **options: Unpack[PromoteOptions]) -> Job:
        """See :meth:`Then.promote`."""
        body: dict[str, JsonValue] = {"kind": "promote", "alias": alias, "if": if_}
        return self._link(body, RequestBodies(self._upload), cast("Mapping[str, object]", options))

    def _link(self, body: Mapping[str, JsonValue], bodies: RequestBodies, options: Mapping[str, object]) -> Job:
        return self._send(self._after, {**body, "options": bodies.options(options)})


def _refuse(plan: Callable[[LinkPlanner], NewJob]) -> NoReturn:
    raise InvalidInput("then", "the gateway plans the jobs; call then.infer, .generate, .evaluate or .promote")
