"""``up`` in the background: the same runner, in a session of its own, that says when it is ready."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from longshore.broker.embedded.files import home_errors, last_lines
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.plan import Plan
from longshore.broker.embedded.report import Status, read_status
from longshore.broker.embedded.stopping import stop_home
from longshore.shared.errors import HomeError


def start(plan: Plan) -> Status:
    """Start an ``up`` that outlives this process, and wait until everything listens.

    :raises HomeError: it did not come up; says why.
    """
    home = Home(plan.home)
    home.prepare()
    read, write = os.pipe()
    with os.fdopen(read) as report:
        try:
            _launch(home, plan, write)
        finally:
            os.close(write)
        try:
            said = report.read()  # until it is ready, or gone
        except BaseException:  # Ctrl-C, too: what one does not wait for any more is not left half up
            stop_home(home.path)
            raise
    if not said:
        raise HomeError(f"`up` ended before it was ready; the end of {home.log('up')}:\n{last_lines(home.log('up'))}")
    content = json.loads(said)
    if content["error"] is not None:
        raise HomeError(content["error"])
    return read_status(home.path)


def _launch(home: Home, plan: Plan, report: int) -> None:
    """Start the process that becomes the daemon; returns when it has, or has failed to."""
    log = home.log("up")
    # The home stands in the arguments only to be seen in a list of processes; the plan itself comes on standard input.
    argv = [sys.executable, "-P", "-m", "longshore.broker.embedded", str(report), str(home.path)]
    with home_errors(log), log.open("ab") as output:
        subprocess.run(
            argv,
            input=plan.model_dump_json().encode(),
            stdout=output,
            stderr=output,
            pass_fds=(report,),
            start_new_session=True,
            check=False,
        )
