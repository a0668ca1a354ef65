"""``longshore df`` and ``longshore clean``: what takes space, and freeing it."""

from __future__ import annotations

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_json

#: How many models and jobs are listed by default.
DEFAULT_TOP = 10


@click.command()
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=DEFAULT_TOP,
    show_default=True,
    metavar="N",
    help="How many models and jobs to list, the largest first.",
)
@with_options
def df(options: Options, top: int) -> None:
    """Show how much space the store and the database take, and which models and jobs take most."""
    with connected(options) as client:
        usage = client.disk_usage(top)
    from longshore.producers.cli.views.space_tables import print_usage, usage_document

    if options.as_json:
        print_json(usage_document(usage))
    else:
        print_usage(usage)
