"""A real notebook: what its cells show while they wait, and of jobs, versions and clients."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from tests.integration import digits
from tests.integration.cluster import Cluster

TIMEOUT_S = 300
CELLS = (
    "from longshore.producers import Client\nclient = Client()",
    "job = client.train('net', 'mlp', {data!r}, 'label', epochs=3)\njob.wait()",
    "job.wait(progress=False); None",
    "client.models.get('net')",
    "client",
    "jobs = [client.infer('net', {rows!r}) for _ in range(3)]\nclient.wait(jobs)",
    "client.wait(jobs, progress=False)",
    "bad = client.infer('net', {rows!r} + [{{'pixels': [float('nan')] * 64}}])\nclient.wait([bad])",
)


@pytest.fixture(scope="module")
def outputs(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> list[list[Mapping[str, str]]]:
    """By cell, the data of its outputs by their types."""
    folder = tmp_path_factory.mktemp("notebook")
    path = digits.write(folder / "digits.parquet", 300)
    rows = [{"pixels": [0.0] * 64}]
    sources = [cell.format(data=str(path), rows=rows) for cell in CELLS]
    notebook: NotebookNode = new_notebook(cells=[new_code_cell(source) for source in sources])  # type: ignore[no-untyped-call]
    own = {"JUPYTER_RUNTIME_DIR": str(folder), "IPYTHONDIR": str(folder), "JUPYTER_PLATFORM_DIRS": "1"}
    runner = NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3")
    runner.execute(env={**cluster.environment, **own}, cwd=str(folder))
    return [[dict(output.get("data", {})) for output in cell.outputs] for cell in notebook.cells]


def test_waiting_for_a_job_shows_one_line_with_its_last_state(outputs: list[list[Mapping[str, str]]]) -> None:
    line, job = outputs[1]
    assert re.match(r"train net  ━+  3/3 epochs  succeeded  [\d.]+ epochs/s  train_loss ", line["text/plain"])
    assert "3/3 epochs  succeeded" in line["text/html"]
    assert '<progress max="1" value="1.0000">' in line["text/html"]
    assert " train net:1 succeeded, 3 of 3 epochs, " in job["text/plain"]
    assert "best val_loss: epoch " in job["text/html"]
    assert "<script" not in line["text/html"] + job["text/html"]
    assert outputs[2] == []


def test_versions_and_clients_are_tables(outputs: list[list[Mapping[str, str]]]) -> None:
    [version], [client] = outputs[3], outputs[4]
    assert "<caption>net:1</caption>" in version["text/html"]
    assert "val_accuracy" in version["text/html"]
    assert "<caption>Longshore client</caption>" in client["text/html"]


def test_waiting_for_several_jobs_counts_them(outputs: list[list[Mapping[str, str]]]) -> None:
    [line] = outputs[5]
    assert re.match("wait for 3 jobs  ━+  3/3 jobs  succeeded$", line["text/plain"])
    assert outputs[6] == []
    [line] = outputs[7]
    assert re.match("wait for 1 job  ━+  1/1 job  failed  1 failed$", line["text/plain"])
