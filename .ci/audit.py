"""Look up known vulnerabilities of the pinned dependencies, with pip-audit in an environment of its own.

    python .ci/audit.py             fail if one is known, or if a dependency could not be looked up
    python .ci/audit.py --offline   the same, but where no service can be reached, say so and do not fail

The services are PyPI's and OSV's; one that answers is enough. Whatever was not looked up is named.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ("constraints.txt", "constraints-vllm.txt")
PIP_AUDIT = "pip-audit==2.10.1"
SERVICES = ("pypi", "osv")
#: A release with vulnerabilities that every service knows: one that does not report them, such as a mirror without the
#: data, would find nothing in any list.
PROBE = "jinja2==2.4.1"
#: Vulnerabilities that do not concern Longshore, by id, each with the reason.
IGNORED: dict[str, str] = {}
#: Names that are shown of a long list.
MAX_NAMES = 10


def main() -> int:
    """Audit. Returns the exit code: 1 if a vulnerability is known, 2 if not all was looked up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--offline", action="store_true", help="do not fail if no service can be reached")
    options = parser.parse_args()
    for name, reason in IGNORED.items():
        say(f"ignored: {name}, {reason}")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        installed = subprocess.run([python, "-m", "pip", "install", "-q", PIP_AUDIT], capture_output=True, text=True)
        if installed.returncode != 0:
            say(f"NOT CHECKED, {PIP_AUDIT} cannot be installed: {last_line(installed.stderr)}")
            return 0 if options.offline else 2
        services = [service for service in SERVICES if any(found for _, found in look_up(python, [PROBE], service))]
        for service in SERVICES:
            if service not in services:
                say(f"{service}: cannot be used from here: it does not report the vulnerabilities of {PROBE}")
        codes = [audit(python, name, services) for name in CONSTRAINTS]
    if options.offline and not services:
        return 0
    return 1 if 1 in codes else max(codes)


def audit(python: Path, constraints: str, services: list[str]) -> int:
    """Audit one list. Returns 1 if a vulnerability is known, 2 if not all was looked up."""
    left = pinned(constraints)
    vulnerable = 0
    for service in services:
        if not left:
            break
        found = look_up(python, sorted(left), service)
        for name, vulnerabilities in found:
            left.discard(name)
            for vulnerability in vulnerabilities:
                vulnerable += 1
                say(f"{constraints}: {name} has {vulnerability}")
    if left:
        names = ", ".join(sorted(left)[:MAX_NAMES]) + (", ..." if len(left) > MAX_NAMES else "")
        say(f"{constraints}: NOT CHECKED, {len(left)} of {len(pinned(constraints))} dependencies: {names}")
    else:
        say(f"{constraints}: {len(pinned(constraints))} dependencies, {vulnerable} known vulnerabilities")
    return 1 if vulnerable else 2 if left else 0


def pinned(constraints: str) -> set[str]:
    """The lines ``name==version``."""
    lines = (line.split("#")[0].strip() for line in (ROOT / constraints).read_text().splitlines())
    return {line for line in lines if line}


def look_up(python: Path, dependencies: list[str], service: str) -> Iterator[tuple[str, list[str]]]:
    """Those dependencies that a service knows, each with its vulnerabilities."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(dependencies))
        requirements.flush()
        ignored = [argument for name in IGNORED for argument in ("--ignore-vuln", name)]
        what = ("-r", requirements.name, "--no-deps", "--disable-pip", *ignored)
        how = ("--vulnerability-service", service, "--format", "json", "--progress-spinner", "off")
        result = subprocess.run([python, "-m", "pip_audit", *what, *how], capture_output=True, text=True)
    try:
        rows = json.loads(result.stdout)["dependencies"]
    except ValueError:
        say(f"{service}: no answer: {last_line(result.stderr)}")
        return
    by_name = {normal(line.partition("==")[0]): line for line in dependencies}
    for row in rows:
        if "skip_reason" not in row:  # what a service does not know counts as not looked up
            vulnerabilities = [
                f"{each['id']}, fixed in {', '.join(each['fix_versions']) or 'no version yet'}" for each in row["vulns"]
            ]
            yield by_name[normal(row["name"])], vulnerabilities


def normal(name: str) -> str:
    """A project's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def last_line(text: str) -> str:
    """The last line of an output, which names the error."""
    return next(iter(reversed(text.strip().splitlines())), "it printed nothing")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"audit: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
