"""``up --detach``: the same cluster, run by a background process in a session of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

from longshore.broker.embedded.files import home_errors, last_lines
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.plan import Plan
from longshore.broker.embedded.report import Status, read_status
from longshore.broker.embedded.stopping import stop_home
from longshore.shared.errors import HomeError


def start(plan: Plan) -> Status:
    """Start an ``up`` that outlives this process, and wait until every service listens and the workers have started.

    :raises HomeError: it did not start; contains the reason.
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
            answer = report.read()  # returns when it is ready, or has exited
        except BaseException:  # includes Ctrl-C: do not leave a cluster half started
            stop_home(home.path)
            raise
    if not answer:
        raise HomeError(f"`up` ended before it was ready; the end of {home.log('up')}:\n{last_lines(home.log('up'))}")
    content = json.loads(answer)
    if content["error"] is not None:
        raise HomeError(content["error"])
    return replace(read_status(home.path), missing_workers=content["missing_workers"])


def _launch(home: Home, plan: Plan, report: int) -> None:
    """Start the process that forks the daemon; returns when it has exited."""
    log = home.log("up")
    # The home is an argument only so that lists of processes show it; the plan is passed on standard input.
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
