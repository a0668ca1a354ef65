"""``longshore doctor``: checks of the installation and the cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import click

from longshore.producers.cli.checks.check import Check, Level, failed
from longshore.producers.cli.checks.installation import check_installation, check_space
from longshore.producers.cli.connect import find_settings
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_json, print_table
from longshore.producers.cli.table_layout import TableColumn
from longshore.shared.errors import LongshoreError
from longshore.shared.settings import Settings

CHECK_COLUMNS = (TableColumn("CHECK"), TableColumn("STATE"), TableColumn("DETAIL", wrap=True))


@click.command()
@click.pass_context
@with_options
def doctor(options: Options, /, context: click.Context) -> None:
    """Check the installation, Redis, Postgres, the store, the relay and the workers.

    The exit code is 1 if a check fails; warnings do not count.
    """
    checks = [*check_installation(), *_check_cluster(options)]
    if options.as_json:
        print_json({"ok": not any(check.level is Level.FAIL for check in checks), "checks": checks})
    else:
        print_checks(checks)
    sys.stdout.flush()
    if any(check.level is Level.FAIL for check in checks):
        context.exit(1)


def print_checks(checks: Sequence[Check]) -> None:
    """Print a table of checks."""
    print_table(CHECK_COLUMNS, [(check.name, check.level, check.detail) for check in checks])


def _check_cluster(options: Options) -> Iterator[Check]:
    try:
        settings = find_settings(options)
    except LongshoreError as error:
        yield failed("cluster", error)
        return
    from longshore.producers.cli.checks.data_roots import check_data_roots
    from longshore.producers.cli.checks.ledger import check_postgres, check_relay, check_schema, check_workers
    from longshore.producers.cli.checks.redis import check_redis
    from longshore.producers.cli.checks.remote_control import check_remote_control
    from longshore.producers.cli.checks.store import check_store

    checks: dict[str, Callable[[Settings], Check]] = {
        "home": check_space,
        "data": check_data_roots,
        "redis": check_redis,
        "postgres": check_postgres,
        "schema": check_schema,
        "store": check_store,
        "relay": check_relay,
        "workers": check_workers,
        "remote": check_remote_control,
    }
    for name, check in checks.items():
        try:
            yield check(settings)
        except LongshoreError as error:
            yield failed(name, error)
