"""``compile=True`` by the real compiler, in processes of its own: it keeps state, and starts others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: Loads a version plainly and compiled, and compares them on batches of many sizes, as the last of a window are.
PROGRAM = """
import json
import sys
from pathlib import Path

import torch
from torch._dynamo.utils import counters

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.families.model import assemble
from longshore.workers.families.registry import get_family
from longshore.workers.runtimes.base import Execution, Matrix
from longshore.workers.runtimes.family import load
from tests.unit.workers.runtimes.test_family import version

name, width, config, path = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), Path(sys.argv[4])
signature = Signature(
    features=(Feature(name="x", width=width),), task="classification", target="y", labels=("a", "b", "c")
)
family = get_family(name)
torch.manual_seed(0)
module = assemble(family.build(family.config.model_validate(config), width, 3), None).eval()
manifest = version(module, signature, path, family=name, config=config)
plain = load(manifest, path, torch.device("cpu"))
try:
    compiled = load(manifest, path, torch.device("cpu"), Execution(compile=True))
except InvalidInput as error:
    sys.exit(f"refused: {error}")
for rows in (256, 255, 1, 2, 7, 100, 33, 1024, 999, 3, 64):
    window = Matrix(torch.randn(rows, width), {})
    key, found = (each.forward(window, slice(0, rows)) for each in (plain, compiled))
    torch.testing.assert_close(found, key, rtol=1e-4, atol=1e-5)
print("graphs", counters["stats"]["unique_graphs"])
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the compiler finds out about the machine, and keeps, takes it many seconds."""
    return tmp_path_factory.mktemp("cache")


def run(
    tmp_path: Path, cache: Path, family: str, width: int, config: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, family, str(width), json.dumps(config), str(tmp_path / "weights")]
    # One thread: others are processes, each of which imports PyTorch.
    compiler = {"TORCHINDUCTOR_CACHE_DIR": str(cache), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    inherited = {**os.environ, **compiler}
    return subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("family", "width", "config"), [("mlp", 20, {"hidden": [8]}), ("cnn", 3072, {"input_shape": [3, 32, 32]})]
)
def test_outputs_are_the_same_and_sizes_are_not_compiled_one_by_one(
    tmp_path: Path, cache: Path, family: str, width: int, config: object
) -> None:
    found = run(tmp_path, cache, family, width, config)
    assert found.returncode == 0, found.stderr
    # Eleven sizes: one graph for most, one for a single row, and one or two where a network tells small from large.
    assert int(found.stdout.split()[-1]) <= 4


def test_without_a_compiler_the_job_is_refused_and_told_why(tmp_path: Path) -> None:
    found = run(tmp_path, tmp_path / "empty", "mlp", 20, {"hidden": [8]}, CXX="/nowhere/c++", PATH=str(tmp_path))
    assert found.returncode == 1
    assert "refused: compile: this worker cannot compile the network; leave it out" in found.stderr
