"""Runs of any length, by command.

    python -m tests.chaos --minutes 60 --seed 1
    python -m tests.chaos --minutes 60 --at-once 3 --longest 1
    python -m tests.chaos --minutes 5 --kinds "Redis frozen,relay killed"

Prints each fault with its recovery, then the table and the sums. Ends with 1 if anything was violated, and then keeps
the logs and the journals.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.run import LONGEST_FAULT_S, make_faults, run


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run once. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=100_000, help="of the file of the large jobs")
    parser.add_argument("--kinds", help="names of faults, joined by commas; all by default")
    parser.add_argument("--at-once", type=int, default=1, help="faults that are made together")
    parser.add_argument("--longest", type=float, default=LONGEST_FAULT_S, help="seconds that a fault lasts at most")
    parser.add_argument("--report", type=Path, help="a file for the outcome as JSON")
    options = parser.parse_args()
    kinds = options.kinds.split(",") if options.kinds else list(FAULTS)
    lasting = {"at_once": options.at_once, "longest_s": options.longest}
    attack = partial(make_faults, seconds=60 * options.minutes, kinds=kinds, say=say, **lasting)
    outcome = run(seed=options.seed, rows=options.rows, during=attack, say=say)
    if options.report is not None:
        options.report.write_text(outcome.as_json())
    report = outcome.report
    say(outcome.table())
    say(
        f"{outcome.faults} faults of {len(outcome.recoveries)} kinds, {report.jobs} jobs, "
        f"{report.acknowledged} acknowledged, {report.rows} rows checked, seed {outcome.seed}"
    )
    problems = outcome.problems()
    for problem in problems:
        say(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
