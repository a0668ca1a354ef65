"""Jobs of language models that are built otherwise than most: learned positions, and encoders with decoders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from longshore.producers import Client
from tests.integration.cluster import Cluster
from tests.language_models import save_language_model
from tests.seq2seq_models import save_seq2seq_model
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
PROMPTS = ["the cat sat", "a dog ran to the", "once upon a time", "stocks rose on Monday as oil prices", "blue"]
TOKENS = 8


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client("architectures") as client:
        yield client


def references(folder: Path, kind: type[AutoModelForCausalLM | AutoModelForSeq2SeqLM]) -> list[str]:
    """What transformers writes for each prompt alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = kind.from_pretrained(folder)
    written = []
    for text in PROMPTS:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        mask = torch.ones_like(ids)
        tokens = model.generate(ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=False, num_beams=1)  # type: ignore[misc]
        begin = 1 if kind is AutoModelForSeq2SeqLM else ids.shape[1]
        decoded = str(tokenizer.decode(tokens[0, begin:], skip_special_tokens=True))
        written.append(decoded.replace("\0", "\N{REPLACEMENT CHARACTER}"))  # as the ledger stores texts
    return written


@pytest.mark.parametrize("model_type", ["gpt2", "gpt_neox", "opt", "qwen3", "t5", "bart"])
def test_texts_are_those_of_the_library(client: Client, model_type: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    if model_type in ("t5", "bart"):
        save_seq2seq_model(folder, model_type)
        expected = references(folder, AutoModelForSeq2SeqLM)
    else:
        more: dict[str, object] = {"num_key_value_heads": 2 if model_type == "qwen3" else 4}
        if model_type == "opt":
            more |= {"ffn_dim": 128, "word_embed_proj_dim": 64}
        save_language_model(folder, model_type, **more)  # type: ignore[arg-type]
        expected = references(folder, AutoModelForCausalLM)
    assert len(set(expected)) > 1
    client.models.import_(folder, model_type)
    job = client.generate(model_type, PROMPTS, max_tokens=TOKENS)
    assert job.wait(TIMEOUT_S).results().texts == expected
