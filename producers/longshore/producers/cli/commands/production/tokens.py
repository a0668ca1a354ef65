"""``longshore tokens``: who may call the HTTP gateway."""

from __future__ import annotations

import sys

import click

from longshore.producers.cli.connect import find_settings, open_ledger
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import print_json, print_table
from longshore.producers.reporting.human import local_time
from longshore.shared.durations import parse_duration
from longshore.shared.ledger.gateway.tokens import LIMIT_NAMES, AccessLimits, Scope


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def tokens(context: click.Context) -> None:
    """Make, list and revoke tokens of the HTTP gateway."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"missing command, one of: {', '.join(tokens.commands)}", context)


@tokens.command()
@click.option("--producer", required=True, metavar="NAME", help="Whose jobs it submits and sees.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help=f"One of {', '.join(Scope)}. Can be repeated.")
@click.option("--model", "models", multiple=True, metavar="PATTERN", help="Such as 'search-*'. Default: all models.")
@click.option("--expires", metavar="DURATION", help="Such as 90d. Default: never.")
@click.option("--requests-per-minute", type=int, metavar="COUNT", help="Requests. Default: no limit.")
@click.option("--rows-per-day", type=int, metavar="COUNT", help="Rows of the jobs that are submitted.")
@click.option("--tokens-per-day", type=int, metavar="COUNT", help="Tokens of prompts and of generated texts.")
@click.option("--queued-jobs", type=int, metavar="COUNT", help="Jobs of the producer that have not ended.")
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@with_options
def create(
    options: Options,
    producer: str,
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    expires: str | None,
    requests_per_minute: int | None,
    rows_per_day: int | None,
    tokens_per_day: int | None,
    queued_jobs: int | None,
    note: str,
) -> None:
    """Make a token, and show it: it cannot be shown again."""
    settings = find_settings(options)
    lifetime = None if expires is None else parse_duration(expires, "--expires")
    limits = AccessLimits(
        requests_per_minute=requests_per_minute,
        rows_per_day=rows_per_day,
        tokens_per_day=tokens_per_day,
        queued_jobs=queued_jobs,
    )
    with open_ledger(settings) as ledger:
        token = ledger.tokens.create(
            *(producer, scopes),
            models=models,
            lifetime=lifetime,
            limits=limits,
            note=note,
            created_by=settings.producer,
        )
    if options.as_json:
        print_json({"id": token.id, "token": token.text, "expires_at": token.expires_at})
    else:
        sys.stdout.write(f"{token.text}\n")
        sys.stderr.write(f"Keep it: it cannot be shown again. To revoke it: longshore tokens revoke {token.id}\n")


@tokens.command("list")
@with_options
def list_tokens(options: Options) -> None:
    """List the tokens, without their secrets, the oldest first."""
    with open_ledger(find_settings(options)) as ledger:
        records = ledger.tokens.list()
    if options.as_json:
        print_json(records)
        return
    rows = [
        (
            *(each.id, each.producer, each.state, ", ".join(each.scopes), ", ".join(each.models) or "all"),
            *(_limits_of(each), local_time(each.expires_at) if each.expires_at else "never", each.note),
        )
        for each in records
    ]
    print_table(["id", "producer", "state", "scopes", "models", "limits", "expires", "note"], rows)


def _limits_of(token: AccessLimits) -> str:
    limits = [(name, getattr(token, name)) for name in LIMIT_NAMES]
    return ", ".join(f"{limit:,} {name.replace('_', ' ')}" for name, limit in limits if limit is not None)


@tokens.command()
@click.argument("id")
@with_options
def revoke(options: Options, id: str) -> None:
    """Make the token ID invalid at once, on every gateway. ID is the part between the underscores of a token."""
    # A whole token is not repeated in an error.
    id = id.removeprefix("lsk_").partition("_")[0]
    with open_ledger(find_settings(options)) as ledger:
        ledger.tokens.revoke(id)
    if options.as_json:
        print_json({"id": id, "revoked": True})
    else:
        sys.stdout.write(f"{id} is revoked\n")
