"""A language model that vLLM splits over several processes, on a CPU in float32."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.integration.cluster import Cluster
from tests.integration.generation.test_vllm_jobs import reference
from tests.language_models import CONTEXT, SENTENCES, save_language_model
from tests.vllm_environment import vllm_python, vllm_variables
from tests.waiting import wait_until

#: Two starts of vLLM, each with three processes.
pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
JOB_TIMEOUT_S = 1200.0
SERVER = "longshore.workers.generate.engines.remote.server"


def engine_processes(worker: psutil.Process) -> dict[str, psutil.Process]:
    """The processes of the engine by what they are: its own, and those that compute."""
    found: dict[str, psutil.Process] = {}
    for process in worker.children(recursive=True):
        command = " ".join(process.cmdline())
        for name in (SERVER, "Worker_TP0", "Worker_TP1"):
            if name in command:
                found[name] = process
    return found


def test_a_split_model_writes_the_texts_of_transformers_also_after_a_process_was_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    save_language_model(tmp_path / "llama", width=128)
    python, variables = vllm_python(), vllm_variables()
    cluster.stop_workers()
    command = [str(python), "-m", "longshore.workers.process.supervisor", "--devices", "cpu"]
    variables = {**variables, "LONGSHORE_ENGINE_CACHE_BYTES": str(1 << 26)}
    with cluster.other_workers(command, variables) as process, cluster.client("texts") as client:
        client.models.import_(tmp_path / "llama", "split", generation={"tensor_parallel": 2})
        plain = client.generate("split", SENTENCES[:1], max_tokens=1, engine="transformers")
        long = client.generate("split", [SENTENCES[0]] * 64, max_tokens=CONTEXT - 100, min_tokens=400, engine="vllm")
        worker = psutil.Process(process.pid)
        wait_until(lambda: len(engine_processes(worker)) == 3 and long.progress.generated_tokens, "texts", JOB_TIMEOUT_S)
        first = engine_processes(worker)
        first["Worker_TP1"].send_signal(signal.SIGKILL)
        wait_until(lambda: long.record().attempts, "the end of the attempt")
        psutil.wait_procs(list(first.values()), timeout=30)
        assert not any(each.is_running() for each in first.values())
        long.cancel()
        job = client.generate("split", SENTENCES, max_tokens=12, engine="vllm")
        assert job.wait(JOB_TIMEOUT_S).results().texts == reference(tmp_path / "llama", list(SENTENCES))
        second = engine_processes(worker)
        assert len(second) == 3
    psutil.wait_procs(list(second.values()), timeout=30)
    assert not any(each.is_running() for each in second.values())
