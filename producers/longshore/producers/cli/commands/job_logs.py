"""``longshore jobs logs``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import clean, note, print_json

if TYPE_CHECKING:
    from longshore.producers.logs import LogLine
    from longshore.shared.ledger.records import JobRecord


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until the job has ended.")
@click.option("--shard", type=click.IntRange(min=0), metavar="N", help="Only of this shard.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Only of attempts of this number.")
@with_options
def logs(options: Options, job: str, follow: bool, shard: int | None, attempt: int | None) -> None:
    """Print what the attempts of a job have logged and printed.

    With --follow and --json: one JSON object per line.
    """
    with connected(options) as client:
        from longshore.producers.documents.jobs import log_line
        from longshore.producers.documents.json_text import to_json

        handle = client.job(job)
        # A job of one shard that was tried once has one log.
        several = handle.record().shards_total > 1 and shard is None
        found = False
        lines = handle.logs(shard=shard, attempt=attempt, follow=follow)
        if options.as_json and not follow:
            documents = [log_line(line) for line in lines]
            print_json(documents)
            return
        for line in lines:
            found = True
            sys.stdout.write(f"{to_json(log_line(line)) if options.as_json else _text(line, several)}\n")
            sys.stdout.flush()
        if not found:
            note(_why_none(handle.record(), chosen=shard is not None or attempt is not None))


def _text(line: LogLine, several: bool) -> str:
    attempt = f"{line.shard}/{line.attempt} " if several or line.attempt > 1 else ""
    if line.time is None:
        return f"{attempt}{line.text}"
    return f"{attempt}{line.time.astimezone():%Y-%m-%d %H:%M:%S} {line.level:<7} {clean(line.text)}"


def _why_none(record: JobRecord, *, chosen: bool) -> str:
    if record.pruned_at is not None:
        return "no lines: the logs were pruned with the results"
    if not record.state.final:
        return f"no lines yet: the job is {record.state}; see `longshore jobs show {record.id}`"
    if chosen:
        return f"no lines of this shard or attempt; for all: longshore jobs logs {record.id}"
    return "no lines: small jobs that run well, alone or in a batch with others, keep no log"
