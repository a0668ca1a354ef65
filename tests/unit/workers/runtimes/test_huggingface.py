"""Text models, row by row against the libraries that they come from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from longshore.producers.models.importing import read_import
from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.workers.runtimes.base import Execution
from longshore.workers.runtimes.huggingface import TextRuntime, load
from tests.computing import compute
from tests.text_models import TEXTS, save_model, save_sentence

CPU = torch.device("cpu")
ROWS = pa.record_batch({"text": pa.array([*TEXTS, None])})
TYPES = ["albert", "bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"]


def opened(folder: Path, **options: str) -> TextRuntime:
    return load(read_import(folder, None).files, CPU, Execution(**options))  # type: ignore[arg-type]


def reference(folder: Path, text: str, pooling: str) -> npt.NDArray[np.float32]:
    """What transformers makes of one text, without any padding."""
    encoded = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=12, return_tensors="pt")
    network = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        put = network(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).last_hidden_state
    vector = {"mean": put.mean(1), "cls": put[:, 0], "max": put.amax(1)}[pooling]
    return np.asarray(vector[0].numpy())


def unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(normalize(torch.from_numpy(vector), dim=0).numpy())


@pytest.mark.parametrize("model_type", TYPES)
def test_embeddings_are_those_of_transformers(tmp_path: Path, model_type: str) -> None:
    save_sentence(tmp_path, model_type)
    key = [unit(reference(tmp_path, text, "mean")) for text in TEXTS]
    runtime = opened(tmp_path)
    for batch_size in (1, 2, 4, 100):
        outputs, errors = compute(runtime, ROWS, batch_size)
        assert errors == {len(TEXTS): "column 'text': null"}
        found = [output["embedding"] for output in outputs[: len(TEXTS)] if output is not None]
        np.testing.assert_allclose(np.array(found), key, atol=1e-5)
    assert np.abs(key[0] - key[2]).max() > 1e-3


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("batch_size", [1, 100])
def test_pooling_is_what_the_folder_states(tmp_path: Path, pooling: str, batch_size: int) -> None:
    save_sentence(tmp_path, pooling=pooling, normalize=False)
    outputs, _ = compute(opened(tmp_path), ROWS, batch_size)
    for text, output in zip(TEXTS, outputs, strict=False):
        assert output is not None
        np.testing.assert_allclose(np.array(output["embedding"]), reference(tmp_path, text, pooling), atol=1e-5)


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta"])
def test_classes_are_those_of_transformers(tmp_path: Path, model_type: str, shards: bool) -> None:
    labels = {0: "sport", 1: "world", 2: "wörld"}
    save_model(tmp_path, model_type, head=True, shards=shards, id2label=labels)
    assert (tmp_path / "model.safetensors.index.json").exists() == shards
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    network = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    outputs, _ = compute(opened(tmp_path), ROWS, top_k=2)
    for text, output in zip(TEXTS, outputs, strict=False):
        encoded = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            scores = network(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits.softmax(1)
        best = scores[0].argsort(descending=True).tolist()
        assert output is not None
        assert output["label"] == labels[best[0]]
        np.testing.assert_allclose(float(str(output["score"])), scores[0, best[0]], atol=1e-5)
        top = output["top_k"]
        assert isinstance(top, list)
        assert [each["label"] for each in top] == [labels[index] for index in best[:2]]


@pytest.mark.parametrize("problem", [None, "regression"])
def test_one_output_is_a_regression(tmp_path: Path, problem: str | None) -> None:
    """With a sigmoid, as in transformers, unless the folder says that it is a regression."""
    save_model(tmp_path, head=True, num_labels=1, problem_type=problem)
    network = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    encoded = AutoTokenizer.from_pretrained(tmp_path)(TEXTS[0], return_tensors="pt")
    outputs, _ = compute(opened(tmp_path), ROWS, logits=True)
    with torch.inference_mode():
        logits = network(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits[0]
    assert outputs[0] is not None
    expected = logits if problem == "regression" else logits.sigmoid()
    np.testing.assert_allclose(float(str(outputs[0]["value"])), expected.item(), atol=1e-5)
    np.testing.assert_allclose(np.array(outputs[0]["logits"]), logits.numpy(), atol=1e-5)


def test_pairs_of_texts_are_one_row(tmp_path: Path) -> None:
    save_model(tmp_path, head=True, num_labels=1, sentence_transformers={"activation_fn": "torch.nn.Identity"})
    texts = pa.array([*TEXTS, None, "a cat"])
    pairs = pa.record_batch({"text_pair": texts[::-1], "text": texts})
    runtime = opened(tmp_path)
    outputs, errors = compute(runtime, pairs)
    assert errors == {1: "column 'text_pair': null", len(TEXTS): "column 'text': null"}
    encoded = AutoTokenizer.from_pretrained(tmp_path)([TEXTS[5]], [TEXTS[2]], truncation=True, return_tensors="pt")
    network = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        expected = network(**encoded).logits.item()
    assert outputs[5] is not None
    np.testing.assert_allclose(float(str(outputs[5]["value"])), expected, atol=1e-5)
    assert runtime.prepare(pairs).notes == ("texts of more than 24 tokens are cut there",)


def test_long_texts_are_cut_and_noted(tmp_path: Path) -> None:
    save_sentence(tmp_path)
    prepared = opened(tmp_path).prepare(ROWS)
    assert prepared.lengths.tolist() == [5, 2, 10, 5, 4, 12, 0]
    assert prepared.notes == ("texts of more than 12 tokens are cut there",)
    assert opened(tmp_path).prepare(ROWS.slice(0, 5)).notes == ()


def test_a_window_without_texts_gives_none(tmp_path: Path) -> None:
    save_sentence(tmp_path)
    outputs, errors = compute(opened(tmp_path), pa.record_batch({"text": pa.array([None, None], pa.string())}))
    assert outputs == [None, None]
    assert sorted(errors) == [0, 1]


def test_weights_of_half_the_size_are_computed_in_float32_on_a_cpu(tmp_path: Path) -> None:
    save_sentence(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    runtime = opened(tmp_path)
    assert runtime.forward(runtime.prepare(ROWS), slice(0, 2)).dtype == torch.float32


def test_weights_under_the_names_of_a_larger_network_are_taken(tmp_path: Path) -> None:
    save_sentence(tmp_path)
    before, _ = compute(opened(tmp_path), ROWS)
    path = tmp_path / "model.safetensors"
    renamed = {f"bert.{name}": tensor for name, tensor in load_file(path).items()}
    renamed["cls.predictions.bias"] = torch.zeros(3)
    save_file(renamed, path, {"format": "pt"})
    assert compute(opened(tmp_path), ROWS)[0] == before


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_sentence(tmp_path)
    save_file({**load_file(tmp_path / "model.safetensors"), "more": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CorruptBlob, match=r"do not fit its config\.json"):
        opened(tmp_path)


@pytest.mark.parametrize("changes", [{"hidden_act": "os.system"}, {"num_attention_heads": 5}])
def test_a_configuration_that_the_library_refuses_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    save_sentence(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InvalidInput, match=r"transformers refuses its config\.json"):
        opened(tmp_path)


def test_a_tokenizer_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    save_sentence(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(CorruptBlob, match=r"tokenizer\.json cannot be loaded"):
        opened(tmp_path)


def test_a_text_on_which_the_tokenizer_gives_up_fails_alone(tmp_path: Path) -> None:
    save_sentence(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    # Takes twice as long for each "a" more; the library ends it with a panic, which is not an Exception.
    pattern = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    path.write_text(json.dumps(tokenizer | {"pre_tokenizer": pattern}))
    prepared = opened(tmp_path).prepare(pa.record_batch({"text": ["a", "a" * 40 + "b", "the"]}))
    assert prepared.errors == {1: "column 'text': the tokenizer fails on it"}
