"""``longshore evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from longshore.producers.cli.completion import complete_file, complete_version
from longshore.producers.cli.connect import connected
from longshore.producers.cli.job_options import job_options, used_options
from longshore.producers.cli.option_types import SectionedCommand
from longshore.producers.cli.options import Options, with_options

if TYPE_CHECKING:
    from longshore.producers.options.keywords import EvaluateOptions


@click.command(cls=SectionedCommand)
@click.argument("model", shell_complete=complete_version)
@click.argument("data", shell_complete=complete_file)
@click.option("--target", metavar="COLUMN", help="The column with the expected values. Default: that of the training.")
@job_options("evaluate")
@with_options
def evaluate(options: Options, /, model: str, data: str, target: str | None, wait: bool, **values: object) -> None:
    """Measure MODEL (digits, digits:3 or digits@production) on DATA, whose targets are known.

    Prints the job's id. With --wait, or by `longshore jobs show`: the metrics with 95 % confidence intervals, a table
    by class, the confusion matrix, and the rows it got most wrong.
    """
    keywords = cast("EvaluateOptions", used_options("evaluate", values))
    with connected(options) as client:
        from longshore.producers.cli.views.evaluation_tables import print_evaluation
        from longshore.producers.cli.views.job_view import print_submitted

        job = client.evaluate(model, data, target, **keywords)
        print_submitted(options, job, wait)
        if wait and not options.as_json:
            print_evaluation(job.evaluation())
