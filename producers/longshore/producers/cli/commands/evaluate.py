"""``longshore evaluate``."""

from __future__ import annotations

import click

from longshore.producers.cli.commands.infer import count_or_fraction
from longshore.producers.cli.connect import connected
from longshore.producers.cli.job_options import explicit_options, job_options
from longshore.producers.cli.options import Options, with_options


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--target", metavar="COLUMN", help="What should be predicted; default: what the version was trained on.")
@click.option("--bootstrap", type=int, metavar="N", help="Resamples for confidence intervals; default: 1000.")
@click.option("--worst", type=int, metavar="ROWS", help="Rows with the largest losses to keep; default: 20.")
@click.option("--seed", type=int, help="Of the resamples; default: 0.")
@click.option("--batch-size", type=int, metavar="ROWS", help="In one forward pass; the worker learns it if not given.")
@click.option("--precision", help="auto, fp32, bf16 or fp16.")
@click.option("--compile", is_flag=True, default=None, help="Compile the network before the first batch.")
@click.option("--max-row-errors", type=count_or_fraction, metavar="N", help="Rows that may fail, or a fraction.")
@job_options
@with_options
def evaluate(options: Options, /, model: str, data: str, target: str | None, wait: bool, **given: object) -> None:
    """Measure MODEL (digits, digits:3 or digits@production) on DATA, whose targets are known.

    Prints the job's id. With --wait, or by `longshore jobs show`: the metrics with 95 % confidence intervals, a table
    by class, the confusion matrix, and the rows it got most wrong.
    """
    with connected(options) as client:
        from longshore.producers.cli.views.evaluation_tables import print_evaluation
        from longshore.producers.cli.views.job_view import print_submitted

        job = client.evaluate(model, data, target, **explicit_options(given))
        print_submitted(options, job, wait)
        if wait and not options.as_json:
            print_evaluation(job.evaluation())
