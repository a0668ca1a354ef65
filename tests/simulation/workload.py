"""What the producers of one simulation do: drawn from its seed, before it begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Final, Literal, TypeAlias
from uuid import UUID

from longshore.shared.ledger.records import NewJob, NewShard
from tests.simulation.database import EPOCH_S

#: Virtual seconds in which producers act and faults happen.
ACTIVE_S: Final = 12.0

Kind: TypeAlias = Literal["shards", "small", "plan", "files", "train", "chain"]
_KINDS: Final[tuple[Kind, ...]] = ("shards", "shards", "small", "small", "plan", "files", "train", "chain")


@dataclass(frozen=True)
class JobPlan:
    """A job, and how its shards behave when workers run them."""

    kind: Kind
    #: Rows of each shard.
    rows: Sequence[int]
    max_attempts: int
    timeout: float | None
    priority: int
    queue: str
    max_row_errors: float
    #: Rows whose first run ends with an error; those with an even number fail again.
    bad_rows: Sequence[int]
    #: The first attempts at each shard that fail, by shard.
    failing: dict[str, int]
    #: The shard that fails for good.
    permanent: int | None
    keyed: bool

    def spec(self) -> str:
        """The spec as JSON."""
        spec: dict[str, object] = {"data": {"uri": "file:///rows.parquet", "format": "parquet"}}
        if self.max_row_errors:
            spec["max_row_errors"] = self.max_row_errors
        if self.kind == "files":
            spec["output"] = "file:///out-{shard}.jsonl"
        spec["simulated"] = {"bad_rows": self.bad_rows, "failing": self.failing, "permanent": self.permanent}
        return json.dumps(spec)


@dataclass(frozen=True)
class Step:
    """One thing that a producer does."""

    name: str
    #: Virtual seconds after the step before.
    delay: float
    what: Literal["submit", "cancel", "retry", "retry rows"]
    jobs: Sequence[JobPlan] = ()
    #: Which of the producer's jobs, taken modulo their number.
    pick: int = 0


@dataclass(frozen=True)
class Workload:
    """The whole plan."""

    producers: dict[str, list[Step]]
    workers: Sequence[str]
    relays: Sequence[str]
    #: The moments at which something happens to Redis, by the name of that fault.
    redis_faults: dict[str, float] = field(default_factory=dict)


def draw(random: Random) -> Workload:
    """The workload of one simulation."""
    workers = ("cpu0", "cpu1", "gpu0")[: random.choice([1, 2, 2, 3])]
    queues = ("cpu", "cpu", "cpu", "gpu" if "gpu0" in workers else "cpu")
    producers = {
        name: [_draw_step(random, f"{name}.{number}", queues) for number in range(random.randint(3, 5))]
        for name in ("producer0", "producer1")[: random.choice([1, 2, 2])]
    }
    faults = random.choice([0, 0, 1, 2, 4])
    return Workload(
        producers,
        workers,
        ("relay0", "relay1")[: random.choice([1, 1, 2])],
        {f"redis:{number}": random.uniform(0, ACTIVE_S) for number in range(faults)},
    )


def _draw_step(random: Random, name: str, queues: Sequence[str]) -> Step:
    what = random.choices(("submit", "cancel", "retry", "retry rows"), (6, 1, 1, 2))[0]
    jobs = []
    if what == "submit":
        first = _draw_job(random, queues)
        # Many jobs in one call are alike.
        jobs = [first] * (random.randint(2, 5) if first.kind == "small" and random.random() < 0.7 else 1)
    return Step(name, round(random.uniform(0, 4), 2), what, jobs, random.randrange(100))  # type: ignore[arg-type]


def _draw_job(random: Random, queues: Sequence[str]) -> JobPlan:
    kind = random.choice(_KINDS)
    if kind in ("small", "train"):
        rows = [random.randint(1, 3)]
    elif kind == "plan":
        rows = []
    else:
        rows = [random.randint(1, 3) for _ in range(random.randint(1, 4))]
    total = sum(rows) or 3
    some = random.random() < 0.3 and kind != "train"
    # A queue that nobody serves: only its deadline ends the job.
    unserved = "gpu" not in queues and random.random() < 0.1
    return JobPlan(
        kind=kind,
        rows=rows,
        max_attempts=random.randint(1, 4),
        timeout=3.0 if unserved else random.choice([None, None, None, 3.0, 12.0]),
        priority=random.choice([4, 4, 4, 9, 0]),
        queue="gpu" if unserved else random.choice(queues),
        max_row_errors=random.choice([0, 0, 1, 0.5]),
        bad_rows=[row for row in range(total) if random.random() < 0.5] if some else [],
        failing={str(index): random.choice([1, 2, 9]) for index in range(max(1, len(rows))) if random.random() < 0.15},
        permanent=random.randrange(max(1, len(rows))) if random.random() < 0.05 else None,
        keyed=random.random() < 0.4,
    )


def make_id(random: Random, now: float) -> UUID:
    """The id of a job that is submitted now: a UUID of version 7, as the client makes it."""
    milliseconds = int((EPOCH_S + now) * 1000)
    bits = milliseconds << 80 | 7 << 76 | random.getrandbits(12) << 64 | 2 << 62 | random.getrandbits(62)
    return UUID(int=bits)


def make_job(
    plan: JobPlan, id: UUID, producer: str, *, key: str | None = None, depends_on: UUID | None = None
) -> NewJob:
    """The job as the client's planner makes it."""
    bounds = [sum(plan.rows[:number]) for number in range(len(plan.rows) + 1)]
    kind = "train" if plan.kind == "train" else "infer"
    small = plan.kind == "small"
    shards = [
        NewShard(action=kind, start=start, stop=stop, batch_key="a" * 32 if small else None)
        for start, stop in pairwise(bounds)
    ]
    version = None if depends_on is not None or kind == "train" else 1
    return NewJob(
        id=id,
        kind=kind,
        producer=producer,
        queue=plan.queue,
        priority=plan.priority,
        spec=plan.spec(),
        model="model",
        version=version,
        digest=None if version is None else "sha256:" + "0" * 64,
        max_attempts=plan.max_attempts,
        rows_per_shard=2,
        timeout=plan.timeout,
        rows_total=sum(plan.rows) if plan.rows else None,
        shards=shards or [NewShard(action="plan", start=0, stop=0)],
        idempotency_key=key,
        request_digest=None if key is None else f"request of {key}",
        depends_on=depends_on,
    )
