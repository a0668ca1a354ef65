"""Training on texts, and the versions that come of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer as Loaded

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.weights import read_weights, save_weights
from longshore.workers.runtimes.base import Execution, Runtime
from longshore.workers.runtimes.loading import load
from longshore.workers.runtimes.tokens import Tokens
from longshore.workers.train.checkpoint.state_file import State, read_state, write_state
from longshore.workers.train.data.dataset import Tables, read_training_data
from longshore.workers.train.data.on_device import put_on_device
from longshore.workers.train.loop.context import CheckpointHooks, TrainingContext
from longshore.workers.train.loop.pretrained import Pretrained
from longshore.workers.train.loop.result import TrainedModel
from longshore.workers.train.loop.trainer import train
from tests.computing import compute
from tests.topics import make_texts

CPU = torch.device("cpu")
OWN = InlineInput(block="b", offset=0, rows=1)
SMALL: dict[str, dict[str, object]] = {
    "rnn": {"embedding": 16, "hidden_size": 16, "pooling": "max"},
    "transformer": {"d_model": 16, "nhead": 2},
}
ODD = ["", "\0", "never seen words", "☃", "[PAD] moon", "moon " * 40]


def table(rows: int = 240, seed: int = 0) -> pa.Table:
    texts, labels = make_texts(rows, seed)
    return pa.table({"title": texts, "topic": labels})


def spec(**options: object) -> TrainSpec:
    values = {
        **{"model": "m", "family": "rnn", "data": OWN, "target": "topic", "learning_rate": 0.01, "batch_size": 16},
        **{"epochs": 5, "tokenizer": {"length": 20}, "config": SMALL.get(str(options.get("family", "rnn")), {})},
    }
    return TrainSpec.model_validate(values | options)


def run(
    asked: TrainSpec,
    tables: Tables | None = None,
    pretrained: Pretrained | None = None,
    checkpoints: CheckpointHooks | None = None,
) -> TrainedModel:
    context = TrainingContext(CPU, checkpoints=checkpoints or CheckpointHooks(), pretrained=pretrained or Pretrained())
    return train(asked, tables or Tables(table()), context)


def opened(folder: Path, family: str, model: TrainedModel) -> Runtime:
    """The version that a worker would make of it, loaded again."""
    files = {"weights.safetensors": folder / "weights.safetensors", "tokenizer.json": folder / "tokenizer.json"}
    save_weights(model.module, files["weights.safetensors"])
    files["tokenizer.json"].write_text(str(model.tokenizer), "utf-8")
    blobs = {name: describe(path) for name, path in files.items()}
    manifest = Manifest(
        family=family,
        config=model.config.model_dump(mode="json"),
        weights=blobs["weights.safetensors"],
        tokenizer=blobs["tokenizer.json"],
        signature=model.signature,
        created_at="2026-01-01T00:00:00Z",
    )
    again = Manifest.parse(manifest.canonical())
    named = {blob: files[name] for name, blob in again.blobs.items()}
    return load(again, lambda blob: named[blob], CPU, Execution())


def plain(model: TrainedModel, texts: Sequence[str], length: int = 20) -> torch.Tensor:
    """One text after the other, without any padding."""
    tokenizer = Loaded.from_str(str(model.tokenizer))
    with torch.inference_mode():
        rows = [torch.tensor([tokenizer.encode(text).ids[:length] or [0]], dtype=torch.float32) for text in texts]
        return torch.cat([model.module(row) for row in rows])


@pytest.mark.parametrize("family", SMALL)
def test_texts_are_learned_and_read_as_they_were_learned(tmp_path: Path, family: str) -> None:
    model = run(spec(family=family, epochs=8), Tables(table(), test=table(90, seed=1)))
    assert model.metrics["test_accuracy"] > 0.9
    assert model.signature.features == (Feature(name="title", width=20, kind="text"),)
    assert model.signature.labels == ("food", "sea", "sky")
    assert model.config.model_dump()["vocabulary"] == Loaded.from_str(str(model.tokenizer)).get_vocab_size()

    runtime = opened(tmp_path, family, model)
    texts = [*table(60, seed=2)["title"].to_pylist(), *ODD]
    batch = pa.record_batch({"title": pa.array([*texts, None]), "other": pa.array(range(len(texts) + 1))})
    outputs, errors = compute(runtime, batch, batch_size=7, logits=True)
    assert errors == {len(texts): "column 'title': null"}
    found = np.array([output["logits"] for output in outputs if output is not None])
    np.testing.assert_allclose(found, plain(model, texts).numpy(), atol=1e-5)
    prepared = runtime.prepare(batch)
    assert prepared.notes == ("texts of more than 20 tokens are cut there",)
    assert isinstance(prepared, Tokens)
    # Of a text without words there is one step of padding.
    assert prepared.lengths[[60, 65]].tolist() == [1, 20]


def test_only_rows_to_train_on_make_the_tokenizer() -> None:
    rows = table(200)
    parts = np.where(np.arange(200) % 5 == 0, "validation", np.where(np.arange(200) % 5 == 1, "test", "train"))
    marked = pa.table(
        {
            "title": [f"{part}word {text}" for part, text in zip(parts, rows["title"].to_pylist(), strict=True)],
            "topic": rows["topic"],
            "part": parts,
        }
    )
    asked = spec(split="part", features=("title",), target="topic", epochs=1)
    known = Loaded.from_str(str(run(asked, Tables(marked)).tokenizer)).get_vocab()
    assert "trainword" in known
    assert not {"validationword", "testword"} & known.keys()
    held = pa.table({"title": ["elsewhere elsewhere"] * 3, "topic": ["food", "sea", "sky"]})
    known = Loaded.from_str(str(run(spec(test=OWN, epochs=1), Tables(rows, test=held)).tokenizer)).get_vocab()
    assert "elsewhere" not in known


@pytest.mark.parametrize("family", SMALL)
def test_the_same_rows_give_the_same_bits(family: str) -> None:
    asked = spec(family=family, epochs=2, config={**SMALL[family], "dropout": 0.3}, test=0.2)
    one, again = run(asked), run(asked)
    assert one.tokenizer == again.tokenizer
    assert one.metrics == again.metrics
    tensors = again.module.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in one.module.state_dict().items())


def test_no_batch_is_wider_than_its_longest_text() -> None:
    asked = spec(test=0.2, tokenizer={"length": 18})
    data = read_training_data(asked, Tables(table()))
    assert data.features.shape == (240, 18)
    placed = put_on_device(asked.model_copy(update={"standardize": False}), data, CPU)
    batches = [*placed.train.batches(1, 4), *placed.train.batches(1, 4, start=2)]
    assert placed.validation is not None
    held_out = list(placed.validation.in_order(4))
    for inputs, _ in (*batches, *held_out):
        assert (inputs[:, -1] != 0).any()
    widths = [inputs.shape[1] for inputs, _ in held_out]
    assert widths == sorted(widths)
    assert min(inputs.shape[1] for inputs, _ in batches) < 18


def test_a_base_and_a_teacher_bring_their_tokenizer() -> None:
    first = run(spec())
    pretrained = Pretrained(first.module.state_dict(), tokenizer=first.tokenizer)
    other = table(120, seed=7)
    other = other.set_column(0, "title", [[f"Unheard {text}" for text in other["title"].to_pylist()]])
    told = first.config.model_dump(mode="json")
    on = run(
        spec(base="m:1", tokenizer={"version": "m:1", "length": 20}, config=told, epochs=1), Tables(other), pretrained
    )
    assert on.tokenizer == first.tokenizer
    assert on.notes == ("texts of more than 20 tokens are cut there",)
    assert on.metrics["val_accuracy"] > 0.9
    pretrained = Pretrained(teacher=first.module, teacher_signature=first.signature, tokenizer=first.tokenizer)
    options = {"teacher": "m:1", "tokenizer": {"version": "m:1", "length": 20}}
    student = run(spec(**options, epochs=10), Tables(table(seed=7)), pretrained)
    assert student.tokenizer == first.tokenizer
    assert student.metrics["val_accuracy"] > 0.9


def test_what_is_wrong_is_said() -> None:
    rows = table(30)
    holed = rows.set_column(0, "title", [[*rows["title"].to_pylist()[:20], None, *rows["title"].to_pylist()[21:]]])
    with pytest.raises(InvalidInput, match=r"^data: row 20: column 'title': null; correct or remove it"):
        run(spec(), Tables(holed))
    with pytest.raises(InvalidInput, match=r"^validation: row 20: column 'title': null"):
        run(spec(validation=OWN), Tables(rows, holed))
    with pytest.raises(InvalidInput, match=r"^config.vocabulary: 7: the tokenizer has \d+ entries; leave it out"):
        run(spec(config={"vocabulary": 7}))
    with pytest.raises(InvalidInput, match=r"^features: the family reads no texts"):
        run(spec(family="mlp", config={}))
    content = json.loads(str(run(spec(epochs=1)).tokenizer))
    content["model"]["vocab"] = {"<s>": 0, "[UNK]": 1}
    with pytest.raises(InvalidInput, match=r"^tokenizer: id 0 of roberta:1 is '<s>', and a family takes 0 for padding"):
        run(spec(tokenizer="roberta:1"), pretrained=Pretrained(tokenizer=json.dumps(content)))
    with pytest.raises(InvalidInput, match=r"^tokenizer: of roberta:1: tokenizer.json cannot be loaded"):
        run(spec(tokenizer="roberta:1"), pretrained=Pretrained(tokenizer="{}"))


def test_a_worker_without_tokenizers_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = run(spec(epochs=1))
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InvalidInput, match=r"^tokenizer: tokenizers is not installed .* 'longshore\[text\]'"):
        run(spec())
    with pytest.raises(InvalidInput, match=r"^tokenizer: tokenizers is not installed"):
        run(spec(tokenizer="m:1"), pretrained=Pretrained(tokenizer=model.tokenizer))
    with pytest.raises(InvalidInput, match=r"^runtime: tokenizers is not installed"):
        opened(tmp_path, "rnn", model)


def test_a_damaged_tokenizer_ends_the_loading(tmp_path: Path) -> None:
    model = run(spec(epochs=1))
    damaged = TrainedModel(model.module, model.signature, model.config, {}, tokenizer="{}")
    with pytest.raises(CorruptBlob, match=r"tokenizer\.json cannot be loaded"):
        opened(tmp_path, "rnn", damaged)
    assert read_weights(tmp_path / "weights.safetensors")


class FileCheckpointer:
    """Keeps the state after so many steps, and nothing after that."""

    def __init__(self, path: Path, at: int) -> None:
        self.last: str | None = None
        self._path, self._at = path, at

    def due(self, done: int) -> bool:
        return done == self._at

    def save(self, take: Callable[[], State], epoch: int, done: int) -> None:
        if done == self._at:
            write_state(take(), self._path)


@pytest.mark.parametrize("family", SMALL)
def test_going_on_from_a_checkpoint_changes_no_bit(tmp_path: Path, family: str) -> None:
    asked = spec(family=family, epochs=2, config={**SMALL[family], "dropout": 0.3})
    kept = run(asked, checkpoints=CheckpointHooks(FileCheckpointer(tmp_path / "state", 19)))
    state = read_state(tmp_path / "state")
    assert isinstance(state, dict)
    again = run(asked, checkpoints=CheckpointHooks(state=state))
    assert again.tokenizer == kept.tokenizer
    assert again.metrics == kept.metrics
    tensors = again.module.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in kept.module.state_dict().items())
