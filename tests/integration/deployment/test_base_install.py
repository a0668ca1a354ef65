"""A producer needs no torch: the base install, in a virtual environment of its own, submits to a running cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

PRODUCER = """
import importlib.util, json
from longshore.producers import Client
from longshore.shared.errors import InvalidInput

def refused(name):
    try:
        client.models.export("line:1", name)
    except InvalidInput as error:
        return str(error)

rows = [{"x": float(x), "y": 3.0 * x + 2.0} for x in range(40)]
with Client() as client:
    client.train("line", "linear", rows, "y", epochs=2).wait(120)
    job = client.infer("line", [{"x": 1.0}, {"x": 2.0}]).wait(120)
    print(json.dumps({
        "torch": importlib.util.find_spec("torch") is not None,
        "refused": [refused(name) for name in ("line.onnx", "line.pt2", "line.h5")],
        "results": job.results().to_pylist(),
    }))
"""


@pytest.fixture(scope="module")
def base_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a virtual environment that holds Longshore without any extra."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), str(ROOT)], check=True)
    return python


@pytest.mark.timeout(1800)
def test_a_producer_without_torch_trains_and_infers(cluster: Cluster, base_python: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LONGSHORE_HOME")}
    environment |= cluster.settings.environment()
    done = subprocess.run(
        [base_python, "-c", PRODUCER], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["torch"] is False
    onnx, pt2, hdf5 = said["refused"]
    assert onnx == "format: onnx needs torch, which is not installed; run: pip install 'longshore[worker,export]'"
    assert pt2 == "format: pt2 needs torch, which is not installed; run: pip install 'longshore[worker]'"
    assert hdf5 == "format: hdf5 needs the package h5py: pip install 'longshore[hdf5]'"
    assert [row["row"] for row in said["results"]] == [0, 1]
    assert all(isinstance(row["value"], float) for row in said["results"])


def test_the_command_line_works_without_extras(cluster: Cluster, base_python: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LONGSHORE_HOME")}
    environment |= cluster.settings.environment()
    longshore = base_python.parent / "longshore"
    done = subprocess.run(
        [longshore, "--json", "jobs", "list"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)
