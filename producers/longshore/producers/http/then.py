"""The jobs that follow a job, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, TypeAlias, Unpack, cast

from pydantic import JsonValue

from longshore.producers.data import Data, GenerateData
from longshore.producers.http.data import RequestBodies, Upload
from longshore.producers.planning.options import FORMAT
from longshore.producers.then import JobT, Then
from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from longshore.producers.options.keywords import EvaluateOptions, GenerateOptions, InferOptions, PromoteOptions
    from longshore.producers.planning.chain import LinkPlanner
    from longshore.shared.ledger.records import NewJob


#: Makes the body of a request: it uploads the rows that do not fit.
MakeBody: TypeAlias = Callable[[], Mapping[str, JsonValue]]


class HttpThen(Then[JobT]):
    """Submits the next job of a chain.

    :param send: makes the body of a request and sends it to the gateway.
    """

    def __init__(self, send: Callable[[MakeBody], JobT], upload: Upload) -> None:
        super().__init__(_refuse)
        #: For another class of jobs.
        self.send = send
        self.upload = upload

    def evaluate(self, data: Data, target: str | None = None, **options: Unpack[EvaluateOptions]) -> JobT:
        """See :meth:`Then.evaluate`."""

        def body(bodies: RequestBodies) -> Mapping[str, JsonValue]:
            return {"kind": "evaluate", "data": bodies.rows(data), "target": target}

        return self._link(body, cast("Mapping[str, object]", options))

    def infer(self, data: Data, **options: Unpack[InferOptions]) -> JobT:
        """See :meth:`Then.infer`."""

        def body(bodies: RequestBodies) -> Mapping[str, JsonValue]:
            return {"kind": "infer", "data": bodies.rows(data)}

        return self._link(body, cast("Mapping[str, object]", options))

    def generate(self, data: GenerateData, **options: Unpack[GenerateOptions]) -> JobT:
        """See :meth:`Then.generate`."""

        def body(bodies: RequestBodies) -> Mapping[str, JsonValue]:
            return {"kind": "generate", "data": bodies.prompts(data, options.get(FORMAT))}

        return self._link(body, cast("Mapping[str, object]", options))

    def promote(self, alias: str, *, if_: str | None = None, **options: Unpack[PromoteOptions]) -> JobT:
        """See :meth:`Then.promote`."""

        def body(bodies: RequestBodies) -> Mapping[str, JsonValue]:
            return {"kind": "promote", "alias": alias, "if": if_}

        return self._link(body, cast("Mapping[str, object]", options))

    def _link(self, body: Callable[[RequestBodies], Mapping[str, JsonValue]], options: Mapping[str, object]) -> JobT:
        def make() -> Mapping[str, JsonValue]:
            bodies = RequestBodies(self.upload)
            return {**body(bodies), "options": bodies.options(options)}

        return self.send(make)


def _refuse(plan: Callable[[LinkPlanner], NewJob]) -> NoReturn:
    raise InvalidInput("then", "the gateway plans the jobs; call then.infer, .generate, .evaluate or .promote")
