"""The process that ``up`` in the background becomes. It is started by ``daemon.start`` only."""

from __future__ import annotations

import json
import os
import sys
from typing import TextIO

from longshore.broker.embedded.cluster import run
from longshore.broker.embedded.plan import Plan
from longshore.shared.errors import LongshoreError


def main(report: int) -> None:
    """Read a plan from standard input, go to the background, and run it.

    :param report: the descriptor of a pipe that is told once: ready, or why not.
    """
    plan = Plan.model_validate_json(sys.stdin.read())
    if os.fork() != 0:  # the parent's parent collects this process; the one that stays belongs to nobody
        os._exit(0)
    os.set_inheritable(report, False)
    with os.fdopen(report, "w") as pipe:
        try:
            run(plan, output=None, on_ready=lambda _: _tell(pipe, None))
        except LongshoreError as error:
            _tell(pipe, str(error))
            sys.exit(error.exit_code)


def _tell(pipe: TextIO, error: str | None) -> None:
    if not pipe.closed:
        pipe.write(json.dumps({"error": error}))
        pipe.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
