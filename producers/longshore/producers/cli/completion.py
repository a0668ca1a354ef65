"""Completion of job ids and of references to models, by the shell.

Each completion is a short process that asks the ledger; if it cannot, there is nothing to complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from longshore.producers.cli.connect import find_settings, open_ledger
from longshore.producers.cli.options import options_of
from longshore.shared.errors import LongshoreError

if TYPE_CHECKING:
    from longshore.shared.ledger.ledger import Ledger

#: The newest jobs that are offered, at most.
MAX_JOBS = 30


def complete_job(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of the newest jobs, and ``@last``."""
    from longshore.producers.job_ids import LAST

    items = [CompletionItem(LAST, help="the newest job of this producer"), *_completions(context, _jobs)]
    return [item for item in items if item.value.startswith(incomplete)]


def complete_model(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of models."""
    return [item for item in _completions(context, _names) if item.value.startswith(incomplete)]


def complete_version(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of models; after ``digits:`` or ``digits@`` the versions and aliases of that model."""
    name = re.split("[:@]", incomplete)[0]
    if name == incomplete:
        return complete_model(context, parameter, incomplete)
    items = _completions(context, lambda ledger: _versions(ledger, name))
    return [item for item in items if item.value.startswith(incomplete)]


def complete_file(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders, which the shell itself lists."""
    return [CompletionItem(incomplete, type="file")]


def _completions(context: click.Context, read: Callable[[Ledger], list[CompletionItem]]) -> list[CompletionItem]:
    """What ``read`` finds in the ledger; nothing if the cluster cannot be reached."""
    try:
        with open_ledger(find_settings(options_of(context))) as ledger:
            return read(ledger)
    except LongshoreError:
        return []


def _names(ledger: Ledger) -> list[CompletionItem]:
    return [CompletionItem(model.name) for model in ledger.models.names()]


def _jobs(ledger: Ledger) -> list[CompletionItem]:
    from longshore.producers.job_ids import short_ids
    from longshore.producers.reporting.human import age_text

    records = ledger.queries.jobs(limit=MAX_JOBS)
    ids = short_ids(ledger, [record.id for record in records])
    return [
        CompletionItem(
            ids[record.id], help=f"{record.kind} {record.model}, {record.state}, {age_text(record.created_at)} ago"
        )
        for record in records
    ]


def _versions(ledger: Ledger, name: str) -> list[CompletionItem]:
    items = []
    for version in reversed(ledger.models.versions(name)):
        items.append(CompletionItem(f"{name}:{version.version}", help=", ".join(sorted(version.aliases)) or None))
        items += [CompletionItem(f"{name}@{alias}", help=f"version {version.version}") for alias in version.aliases]
    return items
