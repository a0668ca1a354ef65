"""Jobs of many adapters share the engine of their base, and each writes what peft writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from longshore.producers import Client, Generate
from tests.integration.cluster import Cluster
from tests.integration.generation.answers import MODEL, answers_of, expected, import_model, prompts
from tests.lora_adapters import load_with_peft, save_adapter
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
MAX_TOKENS = 8
ADAPTERS = 20


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
    base = import_model(client, tmp_path)
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
