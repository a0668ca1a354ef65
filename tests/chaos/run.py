"""One run: set up, load, faults, the end of all jobs, and the check."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import psycopg
import redis

from longshore.producers import Client
from longshore.shared.specs.signature import Signature
from tests.chaos.checker import Report, check, read_history
from tests.chaos.deployment import LEASE_S, Deployment
from tests.chaos.faults import ASKING, FAULTS
from tests.chaos.recovery import STUCK_AFTER_S, Recovery
from tests.integration import digits
from tests.integration.conftest import kept
from tests.integration.homes import make_reachable_folder
from tests.waiting import TIMEOUT_S

#: The producers: name and role. Each is started again when it is killed.
PRODUCERS = {"small-1": "small", "small-2": "small", "large": "large", "training": "training"}
#: Seconds that a fault lasts.
SHORTEST_FAULT_S, LONGEST_FAULT_S = 0.2, 4.0
#: Seconds between the recovery from a fault and the next.
PAUSE_S = 0.3
#: Seconds without any job ending after which a run that should come to its end is stuck.
NO_PROGRESS_S = 4 * LEASE_S + STUCK_AFTER_S


@dataclass
class Outcome:
    """What a run has shown."""

    seed: int
    report: Report
    #: Seconds from the end of each fault to the recovery, by the kind of fault; ``None`` where it was stuck.
    recoveries: dict[str, list[float | None]] = field(default_factory=lambda: defaultdict(list))

    @property
    def faults(self) -> int:
        return sum(map(len, self.recoveries.values()))

    def problems(self) -> list[str]:
        """What must not be: violations, with examples, and faults without recovery."""
        stuck = [f"no recovery in {STUCK_AFTER_S:g} s: {kind}" for kind, all in self.recoveries.items() if None in all]
        return [f"{kind}: {count}" for kind, count in self.report.violations.items()] + self.report.examples + stuck

    def table(self) -> str:
        """The faults with their recoveries, as Markdown."""
        lines = ["| fault | times | recovery p50, s | p95, s | longest, s |", "| --- | ---: | ---: | ---: | ---: |"]
        for kind, all in sorted(self.recoveries.items()):
            seconds = [STUCK_AFTER_S if each is None else each for each in all]
            p50, p95 = np.percentile(seconds, [50, 95])
            lines.append(f"| {kind} | {len(all)} | {p50:.1f} | {p95:.1f} | {max(seconds):.1f} |")
        return "\n".join(lines)

    def as_json(self) -> str:
        """For adding up several runs."""
        found = self.report
        return json.dumps(
            {
                "seed": self.seed,
                "acknowledged": found.acknowledged,
                "jobs": found.jobs,
                "rows": found.rows,
                "faults": self.faults,
                "violations": dict(found.violations),
                "examples": found.examples,
                "recoveries": self.recoveries,
            },
            indent=1,
        )


def run(
    *, seed: int, rows: int, during: Callable[[Deployment, Outcome], None], say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Run a deployment under load, and check it at the end.

    :param rows: of the file that the large jobs read.
    :param during: what is done while producers submit; they stop when it returns.
    :param say: told what happens, a line at a time.
    """
    folder = make_reachable_folder()
    with ExitStack() as stack:
        # Removes everything at the end, also of a run that is killed.
        stack.enter_context(kept(folder))
        deployment = Deployment(folder)
        stack.callback(deployment.close)
        outcome = Outcome(seed, Report())
        try:
            _run(deployment, outcome, rows, during, say)
        except BaseException:
            say(f"the logs and the journals are kept in {_keep_evidence(folder)}")
            raise
        if outcome.problems():
            say(f"the logs and the journals are kept in {_keep_evidence(folder)}")
    return outcome


def _run(
    deployment: Deployment,
    outcome: Outcome,
    rows: int,
    during: Callable[[Deployment, Outcome], None],
    say: Callable[[str], None],
) -> None:
    deployment.start()
    labels = _prepare(deployment, rows)
    for number, (name, role) in enumerate(PRODUCERS.items()):
        journal = deployment.folder / f"{name}.jsonl"
        arguments = (str(journal), str(1000 * outcome.seed + number), role)
        files = (str(deployment.data / "rows.parquet"), str(rows), str(deployment.outputs))
        deployment.run(name, ("tests.chaos.producer", *arguments, *files))
    during(deployment, outcome)
    hung = _stop_producers(deployment)
    say("waiting for the end of all jobs")
    _await_end(deployment, say)
    history = read_history(deployment.folder / f"{name}.jsonl" for name in PRODUCERS)
    outcome.report = check(deployment.direct.database_url, history, labels)
    outcome.report.violation("producers that SIGTERM did not end: a call hangs", len(hung), hung)


def _prepare(deployment: Deployment, rows: int) -> list[str]:
    """Make ``digits:1`` and the file; returns the label of each image, computed by ONNX Runtime."""
    images, known = digits.digits()
    settings = deployment.direct
    with Client(
        redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store, producer="set-up"
    ) as client:
        client.train("digits", "mlp", digits.table(images, known), "label", epochs=2).wait(TIMEOUT_S)
        exported = client.models.export("digits:1", deployment.folder / "digits.onnx")
        signature = Signature.model_validate(client.models.get("digits:1").manifest["signature"])
        names = [str(label) for label in signature.labels or ()]
    session = onnxruntime.InferenceSession(str(exported))
    (logits,) = session.run(None, {session.get_inputs()[0].name: images})
    digits.write(deployment.data / "rows.parquet", rows)
    return [names[index] for index in np.argmax(logits, axis=1)]


def make_faults(
    deployment: Deployment,
    outcome: Outcome,
    *,
    seconds: float,
    kinds: list[str],
    say: Callable[[str], None],
    at_once: int = 1,
    longest_s: float = LONGEST_FAULT_S,
) -> None:
    """Make one fault after another, each after the recovery from the one before.

    :param kinds: of each, in an order by chance, one is made before any is made again.
    :param at_once: how many faults are made together. The recovery from them all counts for each.
    :param longest_s: seconds that a fault lasts at most.
    """
    rng = random.Random(outcome.seed)
    recovery = Recovery(deployment)
    end = time.monotonic() + seconds
    due: list[str] = []
    while time.monotonic() < end:
        if len(due) < at_once:
            due += rng.sample(kinds, len(kinds))
        together = sorted(dict.fromkeys(due.pop() for _ in range(at_once)), key=lambda kind: kind not in ASKING)
        say(f"{outcome.faults + 1:4} {', '.join(together)}")
        made: list[str] = []
        with suppress(psycopg.Error), ExitStack() as faults:  # what a fault would take away, another has
            for kind in together:
                try:
                    faults.enter_context(FAULTS[kind](deployment, rng))
                    made.append(kind)
                except (
                    psycopg.Error,
                    redis.RedisError,
                    OSError,
                ) as error:  # another is in the way
                    say(f"     {kind}: not made, {str(error).strip().splitlines()[0]}")
            time.sleep(rng.uniform(SHORTEST_FAULT_S, longest_s))
        deployment.await_services()
        deployment.make_postgres_writable()
        if not made:
            continue
        took = recovery.measure()
        for kind in made:
            outcome.recoveries[kind].append(took)
        say("STUCK" if took is None else f"     went on after {took:.1f} s")
        time.sleep(PAUSE_S)


def _stop_producers(deployment: Deployment) -> list[str]:
    """Returns the names of those that hang."""
    processes = {name: deployment.release(name) for name in PRODUCERS}
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STUCK_AFTER_S
    hung = []
    for name, process in processes.items():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            hung.append(name)
    return hung


def _await_end(deployment: Deployment, say: Callable[[str], None]) -> None:
    """Wait while jobs end; returns when all have, or none has for long. Those that are left are violations."""
    before, since = -1, time.monotonic()
    while time.monotonic() < since + NO_PROGRESS_S:
        with suppress(psycopg.Error):
            ((left, rows),) = deployment.sql(
                "SELECT count(*), coalesce(sum(shards_total - shards_done), 0) FROM jobs"
                " WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
            )
            if left == 0:
                return
            if rows != before:
                before, since = int(str(rows)), time.monotonic()
        time.sleep(0.5)
    say(f"stuck: {left} jobs have not ended, and none has in {NO_PROGRESS_S:g} s")


def _keep_evidence(folder: Path) -> Path:
    """Copy the logs and the journals to a folder that stays."""
    target = Path(tempfile.mkdtemp(prefix="longshore-chaos-failed-"))
    shutil.copytree(folder / "logs", target / "logs")
    for journal in folder.glob("*.jsonl"):
        shutil.copy(journal, target)
    for log in (folder / "home" / "logs").iterdir():
        shutil.copy(log, target / "logs")
    return target
