"""Blocks of several documents: where their borders are, and that no document sees another one."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from longshore.workers.train.language.block_rows import IGNORED, BlockRows
from longshore.workers.train.language.documents import Document
from longshore.workers.train.language.network import CausalNetwork, keeps_texts_apart
from longshore.workers.train.language.objective import PerplexityEvaluator, TokenLoss
from longshore.workers.train.language.packing import pack
from longshore.workers.train.language.token_store import TokenizedTexts, TokenWriter

WORDS = 50
CPU = torch.device("cpu")


def stored(folder: Path, documents: list[Document], *, masked: bool = False) -> TokenizedTexts:
    with TokenWriter(folder, "texts", masked=masked) as writer:
        for document in documents:
            writer.add(document)
    return writer.texts()


def random_documents(seed: int, lengths: list[int], *, masked: bool = False) -> list[Document]:
    draw = random.Random(seed)
    return [
        Document(
            [draw.randrange(WORDS) for _ in range(length)],
            [number > length // 2 for number in range(length)] if masked else None,
        )
        for length in lengths
    ]


def pairs(rows: BlockRows, size: int = 3) -> list[tuple[int, int, int]]:
    """Each position, its token and the one that follows, of all blocks."""
    found = []
    for inputs, targets in rows.in_order(size):
        ids, positions = inputs[:, 0], inputs[:, 1]
        kept = targets != IGNORED
        found += list(zip(positions[kept].tolist(), ids[kept].tolist(), targets[kept].tolist(), strict=True))
    return found


def small(model_type: str = "llama", **more: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type,
        **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": WORDS},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, **more},
    )
    module: torch.nn.Module = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    return module


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_each_token_is_predicted_once_from_its_own_document(tmp_path: Path, seed: int, packing: bool) -> None:
    draw = random.Random(seed)
    documents = random_documents(seed, [draw.randrange(0, 40) for _ in range(60)])
    rows = BlockRows(texts := stored(tmp_path, documents), pack(texts, 16, packing=packing), CPU)
    expected = [
        (number % 16, document.ids[number], document.ids[number + 1])
        for document in documents
        for number in range(len(document.ids) - 1)
    ]
    assert sorted(pairs(rows)) == sorted(expected)
    assert rows.learned == len(expected)
    widths = [inputs.shape[2] for inputs, _ in rows.in_order(1)]
    assert max(widths) <= 16
    if packing:
        assert rows.count <= -(-len(expected) // 16) * 11 / 9 + 1, "the bound of best-fit decreasing"


@pytest.mark.parametrize("packing", [True, False])
def test_only_what_is_marked_is_learned_and_long_documents_are_cut(tmp_path: Path, packing: bool) -> None:
    documents = random_documents(1, [4, 10, 30, 80, 1, 0, 12], masked=True)
    texts = stored(tmp_path, documents, masked=True)
    blocks = pack(texts, 24, packing=packing)
    rows = BlockRows(texts, blocks, CPU)
    expected = [
        (number, document.ids[number], document.ids[number + 1])
        for document in documents
        for number in range(min(24, len(document.ids) - 1))
        if document.learned is not None and document.learned[number + 1]
    ]
    assert sorted(pairs(rows)) == sorted(expected)
    assert rows.learned == len(expected)
    # The answer of the document of 80 begins after the 24th token; those of 1 and 0 have none.
    assert (blocks.cut, blocks.left_out) == (1, 3)


def test_the_order_of_an_epoch_is_its_own_and_can_be_entered_anywhere(tmp_path: Path) -> None:
    texts = stored(tmp_path, random_documents(2, [12] * 40))
    rows = BlockRows(texts, pack(texts, 16, packing=True), CPU, seed=7)
    first, again, second = (list(rows.batches(epoch, 4)) for epoch in (1, 1, 2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    later = list(rows.batches(1, 4, start=3))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(first[3:], later, strict=True))


@pytest.mark.parametrize(
    ("model_type", "more"),
    [
        ("llama", {}),
        ("qwen3", {"head_dim": 8}),
        ("mistral", {"sliding_window": 6}),
        ("gemma2", {"head_dim": 8, "sliding_window": 6}),
        ("gpt2", {}),
        ("gpt_neox", {}),
        ("opt", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    ],
)
def test_the_loss_of_packed_texts_is_that_of_each_alone(
    tmp_path: Path, model_type: str, more: dict[str, object]
) -> None:
    documents = random_documents(3, [5, 9, 14, 3, 7, 20, 2, 11])
    texts = stored(tmp_path, documents)
    module = small(model_type, **more).eval()
    alone, count = 0.0, 0
    for document in documents:
        ids = torch.tensor([document.ids])
        with torch.no_grad():
            logits = module(input_ids=ids).logits[0, :-1]
        alone += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        count += len(document.ids) - 1
    for packing in (False,) if model_type == "opt" else (True, False):
        network = CausalNetwork(module, packing=packing)
        if packing:
            assert keeps_texts_apart(network, WORDS)
        rows = BlockRows(texts, pack(texts, 24, packing=packing), CPU)
        metrics = PerplexityEvaluator(rows, 3, "val_").run(network, lambda: None)
        assert metrics["val_loss"] == pytest.approx(alone / count, abs=1e-5)
        assert metrics["val_perplexity"] == pytest.approx(np.exp(alone / count), rel=1e-5)


def test_an_architecture_that_mixes_texts_is_known() -> None:
    network = CausalNetwork(small("opt", ffn_dim=64, word_embed_proj_dim=32), packing=True)
    assert not keeps_texts_apart(network, WORDS)


def test_the_mean_over_blocks_is_the_mean_over_tokens_however_they_are_divided(tmp_path: Path) -> None:
    texts = stored(tmp_path, random_documents(4, [30, 4, 6, 17, 25, 9, 3, 3], masked=True), masked=True)
    rows = BlockRows(texts, pack(texts, 32, packing=False), CPU)
    network = CausalNetwork(small(), packing=True)
    loss = TokenLoss(rows.learned / rows.count)
    total = 0.0
    gradients = []
    for size in (rows.count, 2):
        network.zero_grad()
        total = 0.0
        for inputs, targets in rows.in_order(size):
            part = loss(network(inputs), targets) * len(targets) / rows.count
            part.backward()  # type: ignore[no-untyped-call]
            total += float(part.detach())
        gradients.append(torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None]))
    measured = PerplexityEvaluator(rows, 3, "val_").run(network, lambda: None)["val_loss"]
    assert total == pytest.approx(measured, abs=1e-5)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)
