"""The main screens of the command line, of records that are always the same.

``python -m tests.unit.producers.cli.screens.screens NAME`` prints one on the terminal; ``write`` as the name writes all
files of ``expected/``, which the test compares with what is shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from pydantic import JsonValue

from longshore.producers.cleaning import Cleaned
from longshore.producers.cli.checks.check import Check, Level
from longshore.producers.cli.commands.doctor import print_checks
from longshore.producers.cli.lists import print_records
from longshore.producers.cli.main import run
from longshore.producers.cli.views.clean_tables import print_plan
from longshore.producers.cli.views.job_list import job_columns
from longshore.producers.cli.views.model_lists import change_columns, model_columns, version_columns
from longshore.producers.cli.views.result_files import write
from longshore.producers.cli.views.space_tables import print_usage
from longshore.producers.disk_usage import DatabaseUsage, DiskUsage, JobDiskSpace, ModelSpace, StoreUsage
from longshore.producers.reporting.live_line import live_line
from longshore.producers.reporting.progress import progress_of
from longshore.shared.ledger.queries import ResultRecord
from longshore.shared.ledger.records import JobRecord, ModelChange, ModelRecord, VersionRecord
from longshore.shared.ledger.retention.removal import Pruned
from longshore.shared.store.manifest import Blob
from longshore.shared.store_gc import StoreSweep
from longshore.shared.vocabulary import State
from tests.terminal import on_a_terminal, without_escapes

WIDTHS = (60, 80, 120)
EXPECTED = Path(__file__).parent / "expected"

_NOW = datetime.now(UTC)


def _job(number: int, age_s: float, ran_s: float | None = None, **values: object) -> JobRecord:
    started = None if ran_s is None else _NOW - timedelta(seconds=age_s)
    ended = started + timedelta(seconds=ran_s) if started is not None and ran_s is not None else None
    record = JobRecord(
        **{"producer": "maria@gpu-box-7", "queue": "cpu", "priority": 4, "spec": {}, "version": 3, "digest": None},  # type: ignore[arg-type]
        **{"shards_total": 1, "shards_done": 0, "shards_failed": 0, "rows_failed": 0, "outcome": None, "error": None},  # type: ignore[arg-type]
        id=UUID(f"019ac1f2-{0x7A31 + 0x111 * number:04x}-774b-bcce-b302099a8057"),
        kind="infer",
        state=State.SUCCEEDED,
        model="digits",
        rows_total=4000,
        rows_done=4000,
        created_at=_NOW - timedelta(seconds=age_s),
        started_at=started,
        finished_at=ended,
        deadline=None,
        read_at=_NOW,
    )
    return replace(record, **values)  # type: ignore[arg-type]


RUNNING = _job(
    4, 612, 612, state=State.RUNNING, kind="train", model="cifar", version=None, rows_total=40, rows_done=7,
    finished_at=None, producer="jo@laptop",
)  # fmt: skip
JOBS = [
    _job(6, 9, state=State.QUEUED, kind="evaluate", rows_done=0, rows_total=None),
    RUNNING,
    _job(3, 1900, 312.5, model="sentiment-of-product-reviews", version=12, rows_total=1_250_000, rows_done=1_249_988,
         rows_failed=12),
    _job(2, 9000, 4.2, state=State.FAILED, rows_done=1000, rows_failed=1, error="1 of 4000 rows failed"),
    _job(1, 90_000, 0.048, kind="train", version=None, outcome={"version": 3}, rows_total=10, rows_done=10),
    _job(0, 900_000, state=State.CANCELLED, kind="cross_validate", rows_done=0, rows_total=5),
]  # fmt: skip
SHORT_IDS = {job.id: str(job.id)[:13] for job in JOBS}
MODELS = [
    ModelRecord(
        name="digits",
        versions=3,
        newest=3,
        aliases={"production": 2, "canary": 3},
        created_at=JOBS[4].created_at,
        size_bytes=182_400,
    ),
    ModelRecord(
        name="sentiment-of-product-reviews",
        versions=12,
        newest=12,
        aliases={},
        created_at=JOBS[5].created_at,
        size_bytes=3_221_225_472,
        shared_bytes=91_000_000,
    ),
]
VERSIONS = [
    VersionRecord(
        **{"model": "digits", "digest": "sha256:00", "job_id": JOBS[4].id, "created_at": JOBS[4].created_at},  # type: ignore[arg-type]
        version=number,
        manifest={
            "family": "transformer",
            "metrics": {"train_loss": 0.0126 * number, "val_loss": 0.02484, "val_accuracy": 0.9865, "val_f1": 0.986},
        },
        aliases=aliases,
        size_bytes=60_800 * number,
        shared_bytes=0,
    )
    for number, aliases in ((1, []), (2, ["production"]), (3, ["canary", "nightly"]))
]
_GATE: dict[str, JsonValue] = {
    "condition": "accuracy >= 0.97 and accuracy >= production",
    "parts": [
        {"text": "accuracy >= 0.97", "holds": True, "said": "accuracy 0.981 >= 0.97"},
        {
            "text": "accuracy >= production",
            "holds": True,
            "said": "accuracy 0.981 >= production.accuracy 0.974 (digits:1)",
        },
    ],
}


def _change(number: int, action: str, alias: str | None, version: int | None, previous: int | None) -> ModelChange:
    return ModelChange(
        action=action, alias=alias, version=version, previous=previous, set_by="maria@gpu-box-7",
        set_at=JOBS[number].created_at, job_id=JOBS[number].id if number == 4 else None,
        gate=_GATE if number == 4 else None,
    )  # fmt: skip


CHANGES = [
    _change(1, "deleted", None, 1, None),
    _change(2, "removed", "canary", None, 3),
    _change(3, "rolled back", "production", 1, 2),
    _change(4, "moved", "production", 2, 1),
    _change(5, "moved", "production", 1, None),
]
_MIB = 1 << 20
USAGE = DiskUsage(
    store=StoreUsage(name="/home/maria/.longshore/store", files=1834, total=3_900 * _MIB, models=3_000 * _MIB,
                     checkpoints=800 * _MIB, inputs=70 * _MIB, uploads=10 * _MIB, other=20 * _MIB),
    database=DatabaseUsage(total=950 * _MIB, results=700 * _MIB, row_errors=8192, logs=40 * _MIB, inputs=60 * _MIB,
                           other=150 * _MIB - 8192),
    models=[
        ModelSpace(model="sentiment-of-product-reviews", versions=2_900 * _MIB, checkpoints=780 * _MIB,
                   results=650 * _MIB, inputs=130 * _MIB, logs=30 * _MIB, row_errors=8192),
        ModelSpace(model="digits", versions=100 * _MIB, checkpoints=20 * _MIB, results=50 * _MIB),
    ],
    jobs=[
        JobDiskSpace(id=JOBS[2].id, kind="infer", model="sentiment-of-product-reviews", results=650 * _MIB,
                     inputs=130 * _MIB, logs=5 * _MIB, row_errors=8192),
        JobDiskSpace(id=JOBS[4].id, kind="train", model="digits", checkpoints=20 * _MIB, logs=_MIB),
    ],
    sampled=False,
)  # fmt: skip
PLAN = Cleaned(
    dry_run=True,
    pruned=Pruned(dry_run=True, cut=_NOW - timedelta(days=30), jobs=1204, inputs=31, kept={}),
    checkpoints=6,
    swept=StoreSweep(
        dry_run=True, before=_NOW, blobs=[Blob(digest=f"sha256:{n:064x}", size=90 * _MIB) for n in range(12)]
    ),
    abandoned=2,
    abandoned_bytes=31_000,
    workers=3,
    database_bytes=0,
)
RESULTS = [
    ResultRecord(
        0, '{"label": "positive", "score": 0.98765432109, "embedding": ' + str([0.125 * n for n in range(384)]) + "}"
    ),
    ResultRecord(
        1, '{"label": "negative", "score": 0.5, "embedding": ' + str([0.5 - 0.25 * n for n in range(384)]) + "}"
    ),
]


METRICS = {"train_loss": 0.3122, "val_loss": 0.3541, "val_accuracy": 0.8912, "val_f1": 0.8877}
#: A training from its submission to each of its ends, and two jobs that count rows.
LIVE = [
    (replace(RUNNING, state=State.QUEUED, rows_total=None, rows_done=0, started_at=None), {}),
    (replace(RUNNING, rows_done=0), {}),
    (replace(RUNNING, rows_done=1), METRICS),
    (RUNNING, METRICS),
    (replace(RUNNING, rows_done=0, rows_running=39), METRICS),
    (replace(RUNNING, state=State.SUCCEEDED, rows_done=14, finished_at=_NOW), METRICS),
    (replace(RUNNING, state=State.FAILED, finished_at=_NOW), METRICS),
    (replace(RUNNING, state=State.CANCELLED, finished_at=_NOW), METRICS),
    (JOBS[2], {}),
    (JOBS[0], {}),
]


def _live() -> None:
    width = int(os.environ["COLUMNS"])
    for record, metrics in LIVE:
        line = live_line(record, progress_of(record), metrics)
        sys.stdout.write("".join(span.text for span in line.spans(width)) + "\n")


CHECKS = [
    Check("longshore", Level.OK, "0.1.0"),
    Check("client", Level.OK, "celery 5.7.0, kombu 5.7.0, redis 7.4.1, psycopg 3.3.3, pyarrow 24.0.0, numpy 2.4.6"),
    Check("extra huggingface", Level.WARN, "transformers not installed; run: pip install 'longshore[huggingface]'"),
    Check("disk", Level.OK, "58.2 GiB free for /home/maria/.longshore"),
    Check(
        "redis",
        Level.FAIL,
        "Redis at gpu-box-7.lab.example.org:6379 cannot be reached: connection refused; check LONGSHORE_REDIS_URL",
    ),
    Check("workers", Level.WARN, "no gpu worker is alive; to start one: longshore worker --devices cuda"),
]


def _train_help() -> None:
    assert run(["train", "--help"]) == 0


SCREENS: dict[str, Callable[[], None]] = {
    "jobs": lambda: print_records(JOBS, job_columns(SHORT_IDS), None),
    "jobs-columns": lambda: print_records(JOBS, job_columns(SHORT_IDS), ("id", "model", "error")),
    "models": lambda: print_records(MODELS, model_columns(), None),
    "history": lambda: print_records(CHANGES, change_columns(), None),
    "df": lambda: print_usage(USAGE),
    "clean": lambda: print_plan(PLAN),
    "versions": lambda: print_records(VERSIONS, version_columns(), None),
    "results": lambda: write("table", RESULTS, sys.stdout),
    "live": _live,
    "doctor": lambda: print_checks(CHECKS),
    "train-help": _train_help,
}


#: Stands behind each screen, if one process shows several.
_PAGE_END = "\f"


@lru_cache
def capture(width: int) -> dict[str, str]:
    """What each screen shows on a terminal of this width; all are shown by one process."""
    shown = without_escapes(on_a_terminal([sys.executable, "-m", __spec__.name, *SCREENS], os.environ, width))
    *screens, rest = shown.split(_PAGE_END)
    assert rest == ""
    return dict(zip(SCREENS, screens, strict=True))


def _main(names: list[str]) -> None:
    if names == ["write"]:
        for columns in WIDTHS:
            for each, shown in capture(columns).items():
                (EXPECTED / f"{each}-{columns}.txt").write_text(shown)
        return
    for name in names:
        SCREENS[name]()
        if len(names) > 1:
            # What the screens write to is not flushed by itself.
            sys.stdout.flush()
            sys.stdout.write(_PAGE_END)


if __name__ == "__main__":
    _main(sys.argv[1:])
