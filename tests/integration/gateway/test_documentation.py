"""The examples of docs/how-to/http.md that submit, follow and read jobs, run as a reader would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import pytest

from longshore.producers import Client
from tests.compose_file import ROOT
from tests.integration import digits
from tests.integration.gateway_beside import RunningGateway
from tests.waiting import TIMEOUT_S

SECTIONS: Final = ("From Python", "Submit a job", "Read results", "Follow a job", "Models and the cluster")
_BLOCK: Final = re.compile(r"^```(sh|python|js)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.usefixtures("digits_version")
def test_the_examples_run(gateway: RunningGateway, client: Client, tmp_path: Path) -> None:
    client.models.promote("digits:1", "production")
    digits.write(tmp_path / "digits.parquet", 300)
    environment = {**gateway.cluster.environment, "URL": gateway.url, "TOKEN": gateway.token()}
    exported = tmp_path / ".exported"
    exported.touch()
    printed: dict[tuple[str, str], str] = {}
    for section in SECTIONS:
        for language, text in _BLOCK.findall(_section(section)):
            inner = {
                "sh": ["bash", "-euo", "pipefail", "-c", f"{text}\nexport -p > {exported}"],
                "python": [sys.executable, "-c", text],
                "js": ["node", "--input-type=module", "--eval", text],
            }[language]
            done = subprocess.run(
                ["bash", "-euc", f'source {exported}; exec "$@"', "bash", *inner],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
            printed[section, language] = printed.get((section, language), "") + done.stdout
    blocking, *following, asynchronous = printed["From Python", "python"].splitlines()
    assert blocking.startswith("0.")
    assert (following[-1], asynchronous) == ("300 of 300", blocking)
    assert printed["Submit a job", "python"].startswith("succeeded 0.")
    assert printed["Read results", "python"] == "300 rows, up to 299\n"
    assert printed["Follow a job", "js"].endswith("end succeeded\n")
    assert pq.read_table(tmp_path / "results.parquet").num_rows == 300
    [promotion] = client.jobs(kind="promote", limit=1)
    promotion.wait(TIMEOUT_S)
    assert client.models.get("digits@reviewed").version == 1


def _section(title: str) -> str:
    """The text of a section."""
    _, _, rest = (ROOT / "docs/how-to/http.md").read_text().partition(f"\n## {title}\n")
    text = rest.partition("\n## ")[0]
    assert _BLOCK.search(text), title
    return text
