"""A language model that vLLM splits over several processes, on a CPU in float32."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.integration.cluster import Cluster
from tests.integration.generation.test_vllm_jobs import PROMPTS, TOKENS, reference
from tests.language_models import save_language_model
from tests.vllm_environment import vllm_python, vllm_variables
from tests.waiting import wait_until

#: Two starts of vLLM, each with three processes.
pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
START_TIMEOUT_S = 900.0
SERVER = "longshore.workers.generate.engines.remote.server"


def engine_processes(supervisor: psutil.Process) -> dict[str, psutil.Process]:
    """The process of the engine, and those that compute."""
    found: dict[str, psutil.Process] = {}
    for process in supervisor.children(recursive=True):
        command = " ".join(process.cmdline())
        found |= {name: process for name in (SERVER, "Worker_TP0", "Worker_TP1") if name in command}
    return found


def assert_ended(processes: dict[str, psutil.Process]) -> None:
    _, alive = psutil.wait_procs(list(processes.values()), timeout=START_TIMEOUT_S)
    assert alive == []


def test_a_split_model_writes_the_texts_of_transformers_though_a_process_is_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    save_language_model(tmp_path / "llama", width=128)
    cluster.stop_workers()
    command = [str(vllm_python()), "-m", "longshore.workers.process.supervisor", "--devices", "cpu"]
    few = {"LONGSHORE_ENGINE_CACHE_BYTES": str(1 << 26), "LONGSHORE_ENGINE_REQUESTS": "2", "OMP_NUM_THREADS": "1"}
    with cluster.other_workers(command, {**vllm_variables(), **few}) as process, cluster.client("texts") as client:
        client.models.import_(tmp_path / "llama", "split", generation={"tensor_parallel": 2})
        # So many that most are to be written when the first are committed.
        texts = PROMPTS * 8
        job = client.generate("split", texts, max_tokens=TOKENS, engine="vllm", rows_per_shard=len(texts))
        wait_until(lambda: job.state.final or job.record().rows_done > 0, "the first rows", START_TIMEOUT_S)
        first = engine_processes(psutil.Process(process.pid))
        assert len(first) == 3
        first["Worker_TP1"].kill()
        assert job.wait(START_TIMEOUT_S).results().texts == 8 * reference(tmp_path / "llama", PROMPTS)
        [error] = job.errors()
        assert "lost process 2 of 2, which was killed (SIGKILL)" in error.message
        assert_ended(first)
        second = engine_processes(psutil.Process(process.pid))
        assert len(second) == 3
    assert_ended(second)
