"""The background process of ``up --detach``. Only ``daemon.start`` starts it."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import TextIO

from longshore.broker.embedded.cluster import run
from longshore.broker.embedded.plan import Plan
from longshore.broker.embedded.report import Status
from longshore.shared.errors import LongshoreError


def main(report: int) -> None:
    """Read a plan from standard input, go to the background, and run it.

    :param report: the descriptor of a pipe for one JSON object: ``{"error": null, "missing_workers": 0}`` when
        ready, else with the reason.
    """
    plan = Plan.model_validate_json(sys.stdin.read())
    if os.fork() != 0:  # the parent waits for this process; its child has no parent any more
        os._exit(0)
    os.set_inheritable(report, False)
    with os.fdopen(report, "w") as pipe:
        try:
            run(plan, output=None, on_ready=partial(_send_ready, pipe))
        except LongshoreError as error:
            _send_report(pipe, error=str(error))
            sys.exit(error.exit_code)


def _send_ready(pipe: TextIO, status: Status) -> None:
    _send_report(pipe, missing_workers=status.missing_workers)


def _send_report(pipe: TextIO, error: str | None = None, missing_workers: int = 0) -> None:
    if not pipe.closed:
        pipe.write(json.dumps({"error": error, "missing_workers": missing_workers}))
        pipe.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
