"""The output of ``longshore jobs why``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from longshore.producers.cli.options import Options
from longshore.producers.cli.output import clean, print_json
from longshore.producers.cli.views.addresses import in_home
from longshore.producers.reporting.activity.why import failure_text

if TYPE_CHECKING:
    from longshore.producers.reporting.activity.why import Why


def print_why(options: Options, why: Why) -> None:
    """Print why a job is in its state."""
    if options.as_json:
        print_json(why)
        return
    for line in _lines(options, why):
        sys.stdout.write(f"{clean(line)}\n")


def _lines(options: Options, why: Why) -> Iterator[str]:
    yield f"{why.state}: {why.reason}"
    for detail in (*why.details, *map(failure_text, why.failures)):
        yield f"- {detail}"
    for step in why.next:
        yield f"{step.purpose}: {in_home(options.home, step.command)}"
