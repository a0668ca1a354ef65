"""A process whose memory is limited, which imports PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIMITED = """
import resource
import numpy as np, pyarrow as pa, torch
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.models.batch_size import BatchSizes
from longshore.workers.inference.batch_runner import BatchRunner
from longshore.workers.inference.heads import make_heads
from longshore.workers.runtimes.network import NetworkRuntime
from longshore.shared.specs.jobs import InferSpec

torch.set_num_threads(1)
signature = Signature(features=(Feature(name="x", width=4),), task="regression", target="y")
wide = torch.ones(4, 250_000)
runtime = NetworkRuntime(lambda rows: (rows @ wide).mean(1, keepdim=True), 0, signature, torch.device("cpu"))
spec = InferSpec.model_validate({"data": {"uri": "/", "format": "csv"}, "batch_size": 4096})
sizes = BatchSizes(4096, 4096, fixed=4096)
runner = BatchRunner(runtime, make_heads(signature, spec), sizes, allow_nan=False, step=lambda rows: None)
values = np.arange(4096 * 4, dtype=np.float32).reshape(-1, 4)
prepared = runtime.prepare(pa.RecordBatch.from_pydict({"x": pa.FixedSizeListArray.from_arrays(values.ravel(), 4)}))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))  # 4096 rows would take 4 GB
outputs, errors = runner.run(prepared)
assert not errors, errors
np.testing.assert_allclose(outputs.field("value").to_numpy(), values.sum(1), rtol=1e-3)
print("; ".join(runner.notes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_a_batch_that_does_not_fit_into_memory_is_halved_until_it_does() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "4096 rows in one forward pass did not fit into memory; 2048 are used" in done.stdout
