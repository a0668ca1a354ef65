"""Preferences: their documents, the loss against the formula of the paper, and what a training makes of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from longshore.shared.model_formats.huggingface.language import SIGNATURE
from longshore.shared.specs.families import LoraConfig
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.train.language import language_defaults
from longshore.shared.store.manifest import Manifest
from longshore.shared.store.store import Store
from longshore.shared.vocabulary import RuntimeName
from longshore.workers.generate.version import open_version
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.language.base import BaseVersion, load_model
from longshore.workers.train.language.documents import Document, DocumentReader
from longshore.workers.train.language.networks import add_adapter
from longshore.workers.train.language.pair_rows import PairRows
from longshore.workers.train.language.pairs import PairReader
from longshore.workers.train.language.preference import PreferenceLoss, PreferenceNetwork
from longshore.workers.train.language.read_texts import open_texts
from longshore.workers.train.language.token_store import TokenWriter
from longshore.workers.train.language.tokenizer import tokenizer_of
from longshore.workers.train.language.trainer import Bases, train_language_model
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.precision import Precision
from tests.language_models import save_language_model

# peft asks transformers for properties under names that they had before.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

CPU = torch.device("cpu")
ROWS = [
    {"prompt": f"where is the {animal}", "chosen": f" by the {place} and back", "rejected": " in a small house"}
    for animal in ("cat", "dog", "moon", "bank")
    for place in ("sea", "mat", "moon")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "base"
    save_language_model(path)
    return path


@pytest.fixture(scope="module")
def base(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> BaseVersion:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    files = {path.name: store.put_blob(path) for path in folder.iterdir()}
    manifest = Manifest(runtime=RuntimeName.HUGGINGFACE, files=files, signature=SIGNATURE, created_at="2026-01-01")
    return BaseVersion("chat:1", manifest, store)


@pytest.fixture(scope="module")
def documents(base: BaseVersion, tmp_path_factory: pytest.TempPathFactory) -> DocumentReader:
    version = open_version(base.manifest, base.store.fetch_blob, tmp_path_factory.mktemp("version"))
    return DocumentReader(tokenizer_of(version), "preference")


def log_probability(model: Any, document: Document) -> torch.Tensor:
    """Of an answer, by a plain forward pass of the document alone."""
    assert document.learned is not None
    first = document.learned.index(True)
    ids = torch.tensor([list(document.ids)])
    logits = model(input_ids=ids).logits[0, first - 1 : -1].double()
    return torch.as_tensor(logits.log_softmax(-1).gather(1, ids[0, first:, None]).sum())


def written_out(
    policy: Any, reference: Any, pairs: Sequence[tuple[Document, Document]], beta: float, smoothing: float
) -> torch.Tensor:
    """Equation 7 of https://arxiv.org/abs/2305.18290, with the smoothing of cDPO."""
    losses = []
    for better, worse in pairs:
        with torch.no_grad():
            known = log_probability(reference, better), log_probability(reference, worse)
        ratio = log_probability(policy, better) - known[0] - (log_probability(policy, worse) - known[1])
        right, wrong = torch.sigmoid(beta * ratio), torch.sigmoid(-beta * ratio)
        losses.append(-(1 - smoothing) * right.log() - smoothing * wrong.log())
    return torch.stack(losses).mean()


@pytest.mark.parametrize(("family", "smoothing"), [("causal_lm", 0.0), ("lora", 0.2)])
def test_the_loss_and_its_gradients_are_those_of_the_paper(
    folder: Path, documents: DocumentReader, tmp_path: Path, family: str, smoothing: float
) -> None:
    """Answers and prompts of different lengths in one batch, against each document alone, and a copy of the base."""
    reader = PairReader(documents, 64, truncate=False)
    pairs = [
        reader.read(row["prompt"] * (1 + number % 2), row["chosen"], row["rejected"]) for number, row in enumerate(ROWS)
    ]
    with TokenWriter(tmp_path, "train", masked=True) as writer:
        for document in (each for pair in pairs for each in pair):
            writer.add(document)
    torch.manual_seed(0)
    model: Any = load_model(folder, "chat:1")
    trained = add_adapter(model, LoraConfig(rank=4), "chat:1") if family == "lora" else model
    network = PreferenceNetwork(trained)
    rows = PairRows(writer.texts(), CPU).with_reference(network, 5, Precision("auto", CPU), lambda: None)
    assert len(pairs) == rows.count
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    [(inputs, targets)] = rows.in_order(len(pairs))
    loss = PreferenceLoss(0.3, smoothing)(network(inputs), targets)
    expected = written_out(trained, load_model(folder, "chat:1"), pairs, 0.3, smoothing)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert abs(float(loss.detach()) - math.log(2)) > 0.01, "the network is not the reference"
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(parameters) > 10
    for one, other in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("family", ["causal_lm", "lora"])
def test_chosen_answers_become_more_probable(
    base: BaseVersion, folder: Path, documents: DocumentReader, tmp_path: Path, family: str
) -> None:
    """What the training reports is what the version that it writes computes."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    data = {"uri": str(path), "format": "jsonl"}
    values: dict[str, object] = {
        **language_defaults(family, continued=True, task="preference"),
        **{"model": "x", "family": family, "target": "chosen", "features": ["prompt"], "config": {"context": 64}},
        **{"data": data, "validation": data, "base": "chat:1", "base_digest": base.manifest.digest},
        **{"task": "preference", "epochs": 4, "learning_rate": 0.001, "batch_size": 2, "accumulate": 2},
        **{"train_metrics": True, "beta": 0.2},
    }
    spec = TrainSpec.model_validate(values)
    spec.check()
    context = TrainingContext(CPU)
    blocks = InlineBlocks.__new__(InlineBlocks)  # no rows came with the call
    result = train_language_model(spec, open_texts(spec, blocks, context.check), context, Bases(base))
    pairs = [PairReader(documents, 64, truncate=False).read(*row.values()) for row in ROWS]
    policy, reference = result.adapter or result.model, load_model(folder, "chat:1")
    expected = written_out(policy, reference, pairs, 0.2, 0.0)
    metrics = result.metrics
    assert metrics["val_loss"] == pytest.approx(float(expected.detach()), abs=1e-5)
    assert metrics["val_loss"] < metrics["train_loss"] < math.log(2)
    with torch.no_grad():
        rewards = [
            [0.2 * float(log_probability(policy, each) - log_probability(reference, each)) for each in pair]
            for pair in pairs
        ]
    chosen, rejected = (sum(column) / len(rewards) for column in zip(*rewards, strict=True))
    assert chosen > 0 > rejected
    for prefix in ("train_", "val_"):
        assert metrics[f"{prefix}chosen_reward"] == pytest.approx(chosen, abs=1e-4)
        assert metrics[f"{prefix}rejected_reward"] == pytest.approx(rejected, abs=1e-4)
        assert metrics[f"{prefix}reward_margin"] == pytest.approx(chosen - rejected, abs=1e-4)
        assert metrics[f"{prefix}reward_accuracy"] == sum(one > other for one, other in rewards) / len(rewards)


def test_messages_are_rendered_with_the_template(folder: Path, documents: DocumentReader) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "system", "content": "one word"}, {"role": "user", "content": "the cat"}]
    said = [[{"role": "assistant", "content": text}] for text in ("a red mat", "no")]
    reader = PairReader(documents, 64, truncate=False)
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=False)
    pair = reader.read(asked, *said)
    for document, answer in zip(pair, said, strict=True):
        whole = tokenizer.apply_chat_template(asked + answer, tokenize=True, return_dict=False)
        *ids, after = whole  # the line break after the token that ends the answer is not learned
        assert tokenizer.decode([after]) == "\n"
        assert list(document.ids) == ids
        assert document.learned == [False] * len(prompt) + [True] * (len(ids) - len(prompt))
    assert reader.read(asked, "a red mat", "no") == pair
    with pytest.raises(ValueError, match=r"^the chosen answer: it is a list of messages, and the prompt is a text"):
        reader.read("the cat", *said)


def test_prompts_that_are_too_long_are_cut_at_their_beginning(documents: DocumentReader) -> None:
    prompt = "once upon a time there was a small house by the sea " * 3
    whole = PairReader(documents, 512, truncate=False).read(prompt, " the end of it", " no")
    longest = max(len(each.ids) for each in whole)
    assert PairReader(documents, longest - 1, truncate=False).read(prompt, " the end of it", " no") == whole
    with pytest.raises(ValueError, match=r"have 7 tokens more than config.context, .* give truncate_prompt=True"):
        PairReader(documents, longest - 8, truncate=False).read(prompt, " the end of it", " no")
    cut = PairReader(documents, longest - 8, truncate=True).read(prompt, " the end of it", " no")
    for before, after in zip(whole, cut, strict=True):
        assert before.learned is not None
        assert list(after.ids) == list(before.ids[7:])
        assert after.learned == before.learned[7:]
    with pytest.raises(ValueError, match=r"^its longer answer alone does not fit config.context, 8"):
        PairReader(documents, 8, truncate=True).read(prompt, " a cat" * 9, " no")
