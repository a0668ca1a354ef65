"""The jobs that follow a job: ``client.train(...).then.evaluate(...).then.promote(...).then.infer(...)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, Unpack

if TYPE_CHECKING:
    from longshore.producers.data import Data, GenerateData
    from longshore.producers.options.keywords import EvaluateOptions, GenerateOptions, InferOptions, PromoteOptions
    from longshore.producers.planning.chain import LinkPlanner
    from longshore.shared.ledger.records import NewJob

#: The class of the submitted job. It has a property of type ``Then[JobT]``, so this module does not import it.
JobT = TypeVar("JobT")
#: Plans the next job of a chain, submits it and returns it.
Submit: TypeAlias = "Callable[[Callable[[LinkPlanner], NewJob]], JobT]"


class Then(Generic[JobT]):
    """Submits the next job of a chain. When a call returns, the job is durable; no client needs to stay connected.

    The next job waits until the previous job has succeeded, and runs on the version that the previous job created or
    used. If the previous job fails or is cancelled, the rest of the chain ends with the same reason; a retry of it lets
    them wait again. ``timeout`` starts when the job can run. Several jobs can follow the same job.

    The call checks everything that it can. What depends on a version that does not exist yet (the columns of the data,
    the options of its runtime) is checked by the worker.
    """

    def __init__(self, submit: Submit[JobT]) -> None:
        #: Used by the methods.
        self.submit = submit

    def evaluate(self, data: Data, target: str | None = None, **options: Unpack[EvaluateOptions]) -> JobT:
        """Measure the version; see :meth:`Client.evaluate`.

        :raises InvalidInput: an option is wrong, and the message names it and the reason; or the previous job has
            failed, or does not create a version.
        :raises UnknownJob: the previous job no longer exists.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises SubmissionUncertain: as :meth:`Client.submit_many`.
        :raises ServiceUnavailable: Postgres cannot be reached; nothing was queued.
        """
        return self.submit(lambda planner: planner.evaluate(data, target, options))

    def infer(self, data: Data, **options: Unpack[InferOptions]) -> JobT:
        """Run the version; see :meth:`Client.infer`.

        :raises InvalidInput: as :meth:`evaluate`.
        :raises UnknownJob, QueueFull, SubmissionUncertain, ServiceUnavailable: as :meth:`evaluate`.
        """
        return self.submit(lambda planner: planner.infer(data, options))

    def generate(self, data: GenerateData, **options: Unpack[GenerateOptions]) -> JobT:
        """Generate text with the version; see :meth:`Client.generate`.

        :raises InvalidInput: as :meth:`evaluate`.
        :raises UnknownJob, QueueFull, SubmissionUncertain, ServiceUnavailable: as :meth:`evaluate`.
        """
        return self.submit(lambda planner: planner.generate(data, options))

    def promote(self, alias: str, *, if_: str | None = None, **options: Unpack[PromoteOptions]) -> JobT:
        """Point an alias at the version.

        :param if_: a condition on the metrics of its training and of its newest evaluation. If it is false, the job
            fails, and with it the rest of the chain. See docs/reference/conditions.md.
        :param options: ``priority``, ``device``, ``max_attempts``, ``timeout``, ``idempotency_key``.
        :raises InvalidInput: as :meth:`evaluate`.
        :raises UnknownJob, QueueFull, SubmissionUncertain, ServiceUnavailable: as :meth:`evaluate`.
        """
        from longshore.producers.planning.chain import Promote

        return self.submit(lambda planner: planner.promote(Promote(alias, if_, options)))
