"""The ledger: all its parts over one small pool of connections."""

from __future__ import annotations

from types import TracebackType

from longshore.shared.ledger.activity import ActivityQueries
from longshore.shared.ledger.batch_sizes import BatchSizeTable
from longshore.shared.ledger.database import Database
from longshore.shared.ledger.gateway.batches import Batches
from longshore.shared.ledger.gateway.files import Files
from longshore.shared.ledger.gateway.kept_answers import KeptAnswers
from longshore.shared.ledger.gateway.tokens import AccessTokens
from longshore.shared.ledger.gateway.uploads import Uploads
from longshore.shared.ledger.gateway.webhooks import Webhooks
from longshore.shared.ledger.jobs.cancel_retry import Control
from longshore.shared.ledger.jobs.chains import Chains
from longshore.shared.ledger.jobs.open_jobs import OpenJobsLimit
from longshore.shared.ledger.jobs.producer_limits import ProducerLimits
from longshore.shared.ledger.jobs.submission import Submissions
from longshore.shared.ledger.jobs.trials import Trials
from longshore.shared.ledger.maintenance import Maintenance
from longshore.shared.ledger.models.registry import Models
from longshore.shared.ledger.notifications import Notifications
from longshore.shared.ledger.queries import Queries
from longshore.shared.ledger.retention.partitions import Partitions
from longshore.shared.ledger.retention.pruning import Pruning
from longshore.shared.ledger.retention.space import Space
from longshore.shared.ledger.shards.attempts import Attempts
from longshore.shared.ledger.shards.checkpoints import Checkpoints
from longshore.shared.ledger.shards.logs import Logs
from longshore.shared.ledger.workers import Workers


class Ledger:
    """Everything in Postgres. Threads can share one ledger. It connects when it is first used.

    :param url: ``postgresql://user:password@host:port/database``.
    :param application: the name of its connections in Postgres.
    :param plan_anew: for clients that change many rows at a time; see
        :class:`~longshore.shared.ledger.database.Database`.
    :param producer: whose jobs a login of the gateway sees.
    :raises InvalidInput: ``url`` is not one of Postgres.
    """

    def __init__(
        self, url: str, application: str = "longshore", *, plan_anew: bool = False, producer: str = ""
    ) -> None:
        self.database = Database(url, application, plan_anew=plan_anew, producer=producer)
        self.submissions = Submissions(self.database)
        self.producer_limits = ProducerLimits(self.database)
        self.chains = Chains(self.database)
        self.control = Control(self.database)
        self.queries = Queries(self.database)
        self.activity = ActivityQueries(self.database)
        self.models = Models(self.database)
        self.attempts = Attempts(self.database)
        self.maintenance = Maintenance(self.database)
        self.logs = Logs(self.database)
        self.checkpoints = Checkpoints(self.database)
        self.trials = Trials(self.database)
        self.partitions = Partitions(self.database)
        self.pruning = Pruning(self.database)
        self.space = Space(self.database)
        self.workers = Workers(self.database)
        self.tokens = AccessTokens(self.database)
        self.kept_answers = KeptAnswers(self.database)
        self.webhooks = Webhooks(self.database)
        self.files = Files(self.database)
        self.uploads = Uploads(self.database)
        self.batches = Batches(self.database)
        self.batch_sizes = BatchSizeTable(self.database)
        self.notifications = Notifications(self.database)

    def limit_open_jobs(self, limit: OpenJobsLimit) -> None:
        """Keep a limit from now on when jobs are submitted or run again with this ledger."""
        self.submissions.limit = self.control.limit = limit

    def close(self) -> None:
        """Close the connections."""
        self.notifications.close()
        self.database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
