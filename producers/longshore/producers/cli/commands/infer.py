"""``longshore infer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from longshore.producers.cli.completion import complete_file, complete_version
from longshore.producers.cli.connect import connected
from longshore.producers.cli.job_options import job_options, used_options
from longshore.producers.cli.option_types import SectionedCommand
from longshore.producers.cli.options import Options, with_options

if TYPE_CHECKING:
    from longshore.producers.options.keywords import InferOptions


@click.command(cls=SectionedCommand)
@click.argument("model", shell_complete=complete_version)
@click.argument("data", shell_complete=complete_file)
@job_options("infer")
@with_options
def infer(options: Options, /, model: str, data: str, wait: bool, **values: object) -> None:
    """Run MODEL (digits, digits:3 or digits@production) on every row of DATA.

    DATA is a file, a folder or a URL that the workers can reach; docs/reference/data-formats.md lists the formats.
    Prints the job's id; `longshore results` and the table `results` have what it computed.
    """
    keywords = cast("InferOptions", used_options("infer", values))
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.infer(model, data, **keywords), wait)
