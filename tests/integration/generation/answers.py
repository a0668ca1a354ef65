"""Prompts for a small language model, and what the library transformers answers to each alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from longshore.producers import Client
from longshore.producers.job import Job
from tests.language_models import SENTENCES, save_language_model

MODEL = "story"


def import_model(client: Client, folder: Path, name: str = MODEL, seed: int = 0) -> Path:
    """Import a small Llama; returns its folder."""
    path = folder / name
    save_language_model(path, seed=seed)
    client.models.import_(path, name)
    return path


def prompts(count: int, *, words: int = 6) -> list[str]:
    """Different prompts. Some begin with the same words."""
    texts = [sentence.split() for sentence in SENTENCES]
    return [
        " ".join([*texts[number % 3][: 2 + number % words], str(number), *texts[number % 5][:2]])
        for number in range(count)
    ]


@cache
def _loaded(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder)


def expected(folder: Path, texts: Sequence[str], max_tokens: int) -> list[str]:
    """What ``generate`` writes after each text, row by row."""
    model, tokenizer = _loaded(folder)
    answers = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.inference_mode():
            output = model.generate(ids, do_sample=False, max_new_tokens=max_tokens)  # type: ignore[operator]
        answer = str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
        answers.append(answer.replace("\0", "\N{REPLACEMENT CHARACTER}"))  # Postgres does not store it
    return answers


def answers_of(job: Job) -> list[str]:
    """The texts of a job, by row; fails if a row is missing or double."""
    rows = list(job.stream())
    assert [row.row for row in rows] == list(range(len(rows)))
    return [str(row.output["text"]) for row in rows]


def usage_of(job: Job) -> dict[str, int]:
    """The tokens that the results of a job name, together."""
    total: dict[str, int] = {"prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
    for row in job.stream():
        usage = row.output["usage"]
        assert isinstance(usage, dict)
        for name, tokens in usage.items():
            assert isinstance(tokens, int)
            total[name] += tokens
    return total
