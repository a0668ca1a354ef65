"""Trainings of language models on a base, in the types of its weights."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.adapter import read_adapter
from longshore.shared.model_formats.huggingface.language import SIGNATURE
from longshore.shared.specs.families import LoraConfig
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.train.language import language_defaults
from longshore.shared.store.manifest import Manifest
from longshore.shared.store.store import Store
from longshore.shared.vocabulary import RuntimeName
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.language.base import BaseVersion
from longshore.workers.train.language.networks import add_adapter, save_adapter
from longshore.workers.train.language.read_texts import open_texts
from longshore.workers.train.language.trainer import Bases, train_language_model
from longshore.workers.train.loop.context import TrainingContext
from tests.language_models import save_language_model
from tests.seq2seq_models import save_seq2seq_model

# peft asks transformers for properties under names that they had before.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(f"file://{tmp_path_factory.mktemp('store')}")


@pytest.fixture(scope="module")
def base(store: Store, tmp_path_factory: pytest.TempPathFactory) -> BaseVersion:
    """A model whose weights are bf16."""
    folder = tmp_path_factory.mktemp("models")
    save_language_model(folder / "plain")
    model = AutoModelForCausalLM.from_pretrained(folder / "plain", dtype=torch.bfloat16)
    save_language_model(folder / "base")
    model.save_pretrained(folder / "base")
    return stored(store, folder / "base")


def stored(store: Store, folder: Path) -> BaseVersion:
    files = {path.name: store.put_blob(path) for path in folder.iterdir()}
    manifest = Manifest(runtime=RuntimeName.HUGGINGFACE, files=files, signature=SIGNATURE, created_at="2026-01-01")
    return BaseVersion("chat:1", manifest, store)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    names, places = ("cat", "dog", "moon"), ("house", "sea", "mat")
    path.write_text(
        "".join(
            json.dumps({"prompt": f"where is the {draw.choice(names)}", "completion": f" by the {draw.choice(places)}"})
            + "\n"
            for _ in range(40)
        )
    )
    return path


def trained(
    base: BaseVersion, data: Path, folder: Path, family: str, config: dict[str, object], **options: object
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The tensors that the training has written, and the metrics."""
    values: dict[str, object] = {
        **language_defaults(family, continued=True),
        **{"model": "x", "family": family, "target": "completion", "features": ["prompt"], "config": config},
        **{"data": {"uri": str(data), "format": "jsonl"}, "base": "chat:1", "base_digest": base.manifest.digest},
        **{"epochs": 2, "learning_rate": 0.001, "batch_size": 4},
    }
    spec = TrainSpec.model_validate({**values, **options})
    spec.check()
    context = TrainingContext(torch.device("cpu"))
    blocks = InlineBlocks.__new__(InlineBlocks)  # no rows came with the call
    result = train_language_model(spec, open_texts(spec, blocks, context.check), context, Bases(base))
    folder.mkdir()
    files = result.store_files(base.store, folder)
    name = "adapter/adapter_model.safetensors" if family == "lora" else "model.safetensors"
    assert {path for path, blob in files.items() if base.files.get(path) != blob} <= {
        name,
        "adapter/adapter_config.json",
    }
    return load_file(base.store.fetch_blob(files[name])), result.metrics


def test_weights_stay_in_the_type_of_the_base(base: BaseVersion, data: Path, tmp_path: Path) -> None:
    tensors, metrics = trained(base, data, tmp_path / "whole", "causal_lm", {"context": 64})
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    original = load_file(base.store.fetch_blob(base.files["model.safetensors"]))
    assert tensors.keys() == original.keys()
    changed = [name for name in tensors if not torch.equal(tensors[name], original[name])]
    assert len(changed) > 10
    assert metrics["val_perplexity"] > 1
    frozen, _ = trained(base, data, tmp_path / "frozen", "causal_lm", {"context": 64}, freeze=["model.layers.0.*"])
    assert all(torch.equal(frozen[name], original[name]) for name in original if name.startswith("model.layers.0."))
    assert not torch.equal(frozen["lm_head.weight"], original["lm_head.weight"])


def test_an_adapter_is_float32_and_checkpointed_activations_change_no_bit(
    base: BaseVersion, data: Path, tmp_path: Path
) -> None:
    config: dict[str, object] = {"rank": 4, "context": 64, "dropout": 0.1}
    plain, metrics = trained(base, data, tmp_path / "plain", "lora", config)
    assert {tensor.dtype for tensor in plain.values()} == {torch.float32}
    again, _ = trained(base, data, tmp_path / "again", "lora", {**config, "gradient_checkpointing": True})
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert any(tensor.any() for name, tensor in plain.items() if "lora_B" in name)
    named, _ = trained(base, data, tmp_path / "named", "lora", {**config, "target_modules": ["q_proj"]})
    assert all(".q_proj." in name for name in named)
    assert metrics["val_loss"] > 0


def test_tokens_that_the_network_does_not_have(store: Store, data: Path, tmp_path: Path) -> None:
    """A tokenizer can have more of them."""
    save_language_model(tmp_path / "small", vocab_size=270)
    base = stored(store, tmp_path / "small")
    with pytest.raises(InvalidInput, match=r"^data: its texts have the token \d+ .* but the network has 270 tokens"):
        trained(base, data, tmp_path / "refused", "lora", {"context": 64})
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"prompt": "1", "completion": "+"}\n' * 9)
    tensors, _ = trained(base, texts, tmp_path / "trained", "lora", {"context": 64})
    assert tensors


@pytest.mark.parametrize("layer", ["lm_head", "norm", "embed_tokens"])
def test_an_adapter_that_no_engine_can_run_is_refused(tmp_path: Path, layer: str) -> None:
    save_language_model(tmp_path / "tied", tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "tied")
    with pytest.raises(InvalidInput, match=f"^config.target_modules: '{layer}': chat:1 has no such linear layer"):
        add_adapter(model, LoraConfig(target_modules=(layer,)), "chat:1")


def test_a_base_that_mixes_the_texts_of_a_block_has_a_block_for_each(store: Store, data: Path, tmp_path: Path) -> None:
    save_language_model(tmp_path / "opt", "opt", ffn_dim=64, word_embed_proj_dim=64, tie_word_embeddings=True)
    base = stored(store, tmp_path / "opt")
    config: dict[str, object] = {"rank": 4, "context": 64}
    _, metrics = trained(base, data, tmp_path / "settled", "lora", config)
    _, alone = trained(base, data, tmp_path / "alone", "lora", {**config, "packing": False})
    assert metrics == alone
    with pytest.raises(InvalidInput, match=r"^config\.packing: true: the architecture of the base does not keep"):
        trained(base, data, tmp_path / "refused", "lora", {**config, "packing": True})


@pytest.mark.parametrize("dense", [[], [0]])
def test_experts_are_not_adapted(tmp_path: Path, dense: list[int]) -> None:
    """peft would, and no engine runs such an adapter.

    :param dense: the layers without experts; parts of them have the names that parts of experts had.
    """
    experts: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}
    save_language_model(tmp_path / "experts", "qwen3_moe", mlp_only_layers=dense, **experts)
    attention = ("k_proj", "o_proj", "q_proj", "v_proj")
    if dense:
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "experts")
        with pytest.raises(InvalidInput, match=r"^config\.target_modules: .* these are also names of experts"):
            add_adapter(model, LoraConfig(), "chat:1")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "experts")
    save_adapter(add_adapter(model, LoraConfig(target_modules=attention if dense else ()), "chat:1"), tmp_path / "made")
    paths = {name: tmp_path / "made" / name for name in ("adapter_config.json", "adapter_model.safetensors")}
    assert {layer.module.rpartition(".")[-1] for layer in read_adapter(paths, "path").layers} == set(attention)


def test_batches_that_are_added_up_are_one_batch(base: BaseVersion, data: Path, tmp_path: Path) -> None:
    config: dict[str, object] = {"rank": 4, "context": 32, "packing": False}
    whole, _ = trained(base, data, tmp_path / "whole", "lora", config, precision="fp32", optimizer="sgd")
    steps: dict[str, object] = {"batch_size": 2, "accumulate": 2, "precision": "fp32", "optimizer": "sgd"}
    halves, _ = trained(base, data, tmp_path / "halves", "lora", config, **steps)
    for name, tensor in whole.items():
        assert torch.allclose(tensor, halves[name], atol=1e-6)


def test_the_decoder_of_an_encoder_is_not_trained_alone(store: Store, tmp_path: Path) -> None:
    """The library would load it, with random embeddings."""
    save_seq2seq_model(tmp_path / "bart", "bart")
    with pytest.raises(InvalidInput, match=r"^base: chat:1 is an encoder with a decoder; only decoders are trained"):
        stored(store, tmp_path / "bart").open_decoder(tmp_path / "opened")
