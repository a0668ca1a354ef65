"""The list of hashes, and the comparison of installed files with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = {
    line.split()[1]: line.split()[0]
    for line in (ROOT / "constraints.sha256").read_text().splitlines()
    if not line.startswith("#")
}
NAME = next(name for name in LISTED if name.startswith("celery-"))


def check(tmp_path: Path, *files: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    report = tmp_path / "report.json"
    items = [{"download_info": {"url": url, "archive_info": {"hashes": {"sha256": digest}}}} for url, digest in files]
    report.write_text(json.dumps({"install": [*items, {"download_info": {"url": "file:///source", "dir_info": {}}}]}))
    command = [sys.executable, str(ROOT / ".ci" / "check_hashes.py"), str(report)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_file_that_differs_from_the_list_fails_and_is_named(tmp_path: Path) -> None:
    done = check(tmp_path, (f"https://files.pythonhosted.org/packages/{NAME}", "0" * 64))
    assert done.returncode == 1
    assert f"{NAME} has sha256 {'0' * 64}, and constraints.sha256 says {LISTED[NAME]}" in done.stderr


@pytest.mark.parametrize("url", [f"https://files.pythonhosted.org/packages/{NAME}", "https://x/other-1.0.tar.gz"])
def test_listed_files_pass_and_others_are_named(tmp_path: Path, url: str) -> None:
    done = check(tmp_path, (url, LISTED[NAME]))
    assert (done.returncode, done.stderr) == (0, "")
    assert ("other-1.0.tar.gz is not in" in done.stdout) == url.endswith("other-1.0.tar.gz")


def test_a_build_of_this_machine_is_not_compared(tmp_path: Path) -> None:
    assert check(tmp_path, (f"file:///wheels/{NAME}", "0" * 64)).returncode == 0


def test_the_list_holds_whole_hashes() -> None:
    assert len(LISTED) > 80
    assert all(len(digest) == 64 for digest in LISTED.values())
