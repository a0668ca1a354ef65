"""Compare the files that pip has installed with the hashes in ``constraints.sha256``.

    python .ci/check_hashes.py REPORT            fail if a file differs from the list
    python .ci/check_hashes.py --write REPORT    add the files of a report to the list

REPORT is what ``pip install --report REPORT`` (or PIP_REPORT) writes: the hash of each file that was installed. A file
that is not in the list, as on another platform, is named and does not fail: its version is pinned all the same.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
LIST = ROOT / "constraints.sha256"
CONSTRAINTS = ROOT / "constraints.txt"


def main() -> int:
    """Check or write. Returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("report", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    installed = read_report(options.report)
    if options.write:
        write_list({**read_list(), **installed})
        return 0
    listed = read_list()
    unlisted = sorted(installed.keys() - listed.keys())
    for name in unlisted:
        sys.stdout.write(f"hashes: {name} is not in {LIST.name}\n")
    wrong = [name for name, digest in installed.items() if listed.get(name, digest) != digest]
    for name in wrong:
        sys.stderr.write(f"hashes: {name} has sha256 {installed[name]}, and {LIST.name} says {listed[name]}\n")
    sys.stdout.write(f"hashes: {len(installed) - len(unlisted) - len(wrong)} of {len(installed)} files are as listed\n")
    return 1 if wrong else 0


def read_report(report: Path) -> dict[str, str]:
    """The SHA-256 of each file that pip has taken from an index, by name."""
    files = {}
    for item in json.loads(report.read_text())["install"]:
        download = item["download_info"]
        digest = download.get("archive_info", {}).get("hashes", {}).get("sha256")
        # Files of this machine, such as another build of PyTorch, and the project itself are nobody else's.
        if digest is not None and urlsplit(download["url"]).scheme == "https":
            files[unquote(urlsplit(download["url"]).path.rpartition("/")[2])] = digest
    return files


def read_list() -> dict[str, str]:
    """The hashes by name of file, of the versions that are pinned now."""
    if not LIST.exists():
        return {}
    rows = [line.split() for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return {name: digest for digest, name in rows}


def write_list(files: dict[str, str]) -> None:
    """Write the files of the pinned versions, in the format of ``sha256sum``."""
    pins = (line.split("#")[0].strip().partition("==") for line in CONSTRAINTS.read_text().splitlines())
    pinned = {(normal(name), version) for name, _, version in pins if version}
    rows = [f"{files[name]}  {name}" for name in sorted(files) if version_of(name) in pinned]
    head = "# SHA-256 of the files of PyPI for constraints.txt, on Linux with Python 3.11; see .ci/check_hashes.py"
    LIST.write_text("\n".join([head, *rows, ""]))


def version_of(file: str) -> tuple[str, str]:
    """The project and the version of a wheel or a source archive."""
    if file.endswith(".whl"):
        name, version = file.split("-")[:2]
    else:
        name, _, version = file.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")
    return normal(name), version


def normal(name: str) -> str:
    """A project's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
