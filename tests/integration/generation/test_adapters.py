"""Jobs of many adapters share the engine of their base, and each writes what peft writes."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from longshore.producers import Client, Generate
from longshore.shared.model_formats.huggingface.adapter import ADAPTER_WEIGHTS
from tests.integration.cluster import Cluster
from tests.integration.generation.answers import MODEL, answers_of, expected, import_model, prompts
from tests.language_models import save_language_model
from tests.lora_adapters import load_with_peft, save_adapter
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
MAX_TOKENS = 8
ADAPTERS = 20
#: What a worker may take besides a base and its adapters: the cache for keys and values, and buffers.
ROOM_BYTES = 300_000_000


def written_by_peft(base: Path, adapter: Path, texts: list[str]) -> list[str]:
    """What ``generate`` writes with an adapter, row by row."""
    model, tokenizer = load_with_peft(base, adapter), AutoTokenizer.from_pretrained(base)
    answers = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.inference_mode():
            output = model.generate(input_ids=ids, do_sample=False, max_new_tokens=MAX_TOKENS)  # type: ignore[operator]
        answer = str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
        answers.append(answer.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    return answers


def test_jobs_of_twenty_adapters_load_their_base_once(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    base = import_model(client, tmp_path, seed=11)  # no other module has opened it on the same worker
    names = [f"adapter-{number}" for number in range(ADAPTERS)]
    for number, name in enumerate(names):
        save_adapter(base, tmp_path / name, seed=number, rank=1 + number % 3)
        client.models.import_(tmp_path / name, name, base=f"{MODEL}:1")
    texts = prompts(3)
    requests = [Generate(name, texts, {"max_tokens": MAX_TOKENS}) for name in (*names, MODEL)]
    jobs = client.submit_many(requests)
    client.wait(jobs, TIMEOUT_S)
    assert answers_of(jobs[-1]) == expected(base, texts, MAX_TOKENS)
    answers = [answers_of(job) for job in jobs[:-1]]
    assert answers == [written_by_peft(base, tmp_path / name, texts) for name in names]
    assert len({tuple(each) for each in answers}) == ADAPTERS
    assert cluster.log("workers").count("opened the engine") == 1


def test_twenty_adapters_take_the_memory_of_one_base(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    import_model(client, tmp_path, "small")
    save_language_model(tmp_path / "large", width=2048, intermediate_size=5632)  # more than ROOM_BYTES
    client.models.import_(tmp_path / "large", "large")
    names = [f"large-{number}" for number in range(ADAPTERS)]
    save_adapter(tmp_path / "large", tmp_path / names[0])
    for number, name in enumerate(names):
        if number:
            copytree(tmp_path / names[0], tmp_path / name)
            weights = load_file(tmp_path / name / ADAPTER_WEIGHTS)
            save_file({key: value.roll(number) for key, value in weights.items()}, tmp_path / name / ADAPTER_WEIGHTS)
        client.models.import_(tmp_path / name, name, base="large:1")
    base = (tmp_path / "large" / "model.safetensors").stat().st_size
    adapters = sum((tmp_path / name / ADAPTER_WEIGHTS).stat().st_size for name in names)
    assert base > 1.2 * ROOM_BYTES, "or a second one could not be told from it"

    def texts_of(*models: str) -> list[str]:
        jobs = client.submit_many([Generate(model, prompts(1), {"max_tokens": 3}) for model in models])
        client.wait(jobs, TIMEOUT_S)
        return [text for job in jobs for text in answers_of(job)]

    texts_of("small")  # the worker has loaded its libraries
    [child] = cluster.child_pids()
    opened = cluster.log("workers").count("opened the engine")
    before = memory(child, "VmRSS")
    Path(f"/proc/{child}/clear_refs").write_text("5")  # begin a new peak
    assert len(set(texts_of(*names, "large"))) == ADAPTERS + 1
    assert cluster.child_pids() == [child]
    assert memory(child, "VmRSS") - before > base, "or other memory than that of the engine was measured"
    assert memory(child, "VmHWM") - before < base + adapters + ROOM_BYTES
    assert cluster.log("workers").count("opened the engine") == opened + 1


def memory(pid: int, name: str) -> int:
    """Bytes of a process that are in memory now (``VmRSS``), or were at most (``VmHWM``)."""
    [kib] = re.findall(rf"^{name}:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(kib) * 1024
