"""``python -m tests.fuzz``: run many inputs of some targets, or one input with its traceback."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections import Counter

from tests.fuzz.process import Sandbox, make_input, run_input
from tests.fuzz.running import run
from tests.fuzz.targets import ALL


def main() -> int:
    """The number of kinds of findings, at most 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=sorted(ALL), help="default: all")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input; default: 0")
    parser.add_argument("--count", type=int, help="inputs of each target; default: the usual number")
    parser.add_argument("--scale", type=float, default=1, help="multiplies the usual number of inputs; default: 1")
    parser.add_argument("--input", type=int, help="run only this input, without limits, and show what it raises")
    options = parser.parse_args()
    names = options.target or sorted(ALL)
    if options.input is not None:
        return _run_one(names[0], options.input)
    inputs, kinds = 0, Counter[str]()
    for name in names:
        target = ALL[name]
        count = options.count or round(target.usual * options.scale)
        found = 0
        for finding in run([(target, options.first, count)]):
            found += 1
            kinds[f"{name}: {finding.kind}"] += 1
            if kinds[f"{name}: {finding.kind}"] == 1:
                print(f"{name}: {finding}", flush=True)
        inputs += count
        print(f"{name}: {count:,} inputs, {found:,} findings", flush=True)
    print(f"{inputs:,} inputs, {len(kinds)} kinds of findings", flush=True)
    return min(1, len(kinds))


def _run_one(name: str, number: int) -> int:
    target, sandbox = ALL[name], Sandbox()
    files = make_input(target, target.seeds(), number)
    for path, content in files.items():
        print(f"{path!r}: {len(content)} bytes: {content[:2000]!r}")
    error = run_input(target, files, sandbox)
    sandbox.close()
    if error is not None:
        traceback.print_exception(error)
    return int(error is not None)


if __name__ == "__main__":
    sys.exit(main())
