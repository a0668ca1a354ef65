"""What comes after a job: ``client.train(...).then.evaluate(...).then.promote(...).then.infer(...)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, Unpack

if TYPE_CHECKING:
    from longshore.producers.data import Data
    from longshore.producers.options.keywords import EvaluateOptions, InferOptions, PromoteOptions
    from longshore.producers.planning.chain import LinkPlanner
    from longshore.shared.ledger.records import NewJob

#: The class of the submitted job. It has a property of type ``Then[JobT]``, so this module does not import it.
JobT = TypeVar("JobT")
#: Plans the next job of a chain, submits it and returns it.
Submit: TypeAlias = "Callable[[Callable[[LinkPlanner], NewJob]], JobT]"


class Then(Generic[JobT]):
    """Submits the next link of a chain. When a call returns, the link is durable, whoever is left to see it run.

    A link waits until the job before has succeeded, and runs on the version that this has made or used. Where that
    fails or is cancelled, so is every later link, with the reason; its retry lets them wait again. ``timeout`` begins
    when the link is ready. More than one link can come after a job.

    What depends on a version that is not made yet (the columns of the data, options that its runtime has not) is
    checked by the worker; everything else, as ever, by the call.
    """

    def __init__(self, submit: Submit[JobT]) -> None:
        self._submit = submit

    def evaluate(self, data: Data, target: str | None = None, **options: Unpack[EvaluateOptions]) -> JobT:
        """Measure the version; see :meth:`Client.evaluate`.

        :raises InvalidInput: names the option and the reason; or the job before has failed, or makes no version.
        """
        return self._submit(lambda planner: planner.evaluate(data, target, options))

    def infer(self, data: Data, **options: Unpack[InferOptions]) -> JobT:
        """Run the version; see :meth:`Client.infer`.

        :raises InvalidInput: as :meth:`evaluate`.
        """
        return self._submit(lambda planner: planner.infer(data, options))

    def promote(self, alias: str, *, if_: str | None = None, **options: Unpack[PromoteOptions]) -> JobT:
        """Point an alias at the version.

        :param if_: a condition on what was measured of it, by its training and its newest evaluation; where it is
            false, the job fails, and with it the rest of the chain. See docs/reference/conditions.md.
        :param options: ``priority``, ``device``, ``max_attempts``, ``timeout``, ``idempotency_key``.
        :raises InvalidInput: as :meth:`evaluate`.
        """
        from longshore.producers.planning.chain import Promote

        return self._submit(lambda planner: planner.promote(Promote(alias, if_, options)))
