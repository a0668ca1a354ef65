"""What an adapter in the format of peft must be, with headers and configurations that are written here by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.adapter import check_fits, read_adapter
from longshore.shared.model_formats.huggingface.files import find_files
from longshore.shared.model_formats.huggingface.tensors import TensorHeader
from longshore.shared.model_formats.weights import TensorEntry, header

CONFIG: dict[str, object] = {
    **{"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]},
    **{"bias": "none", "modules_to_save": None, "use_dora": False, "base_model_name_or_path": "/somebody/model"},
}
Q = "model.layers.0.self_attn.q_proj"
PAIR = {f"base_model.model.{Q}.lora_A.weight": (2, 8), f"base_model.model.{Q}.lora_B.weight": (6, 2)}
LLAMA = {"model_type": "llama"}
TIED = {**LLAMA, "tie_word_embeddings": True}
BASE = {f"{Q}.weight": TensorHeader("F32", (6, 8)), "lm_head.weight": TensorHeader("F32", (100, 8))}


def save(folder: Path, config: object = None, tensors: Mapping[str, tuple[int, ...]] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG if config is None else config))
    shapes = PAIR if tensors is None else tensors
    entries = [TensorEntry(name, "F32", shape, 4 * math.prod(shape)) for name, shape in shapes.items()]
    content = header(entries) + bytes(sum(entry.nbytes for entry in entries))
    (folder / "adapter_model.safetensors").write_bytes(content)
    return folder


def test_reads_rank_and_scale_of_each_layer(tmp_path: Path) -> None:
    v = "model.layers.1.self_attn.v_proj"
    tensors = {**PAIR, f"base_model.model.{v}.lora_A.weight": (4, 8), f"base_model.model.{v}.lora_B.weight": (3, 4)}
    patterns = {"rank_pattern": {"v_proj": 4}, "alpha_pattern": {"^model.layers.1.self_attn.v_proj": 32}}
    config = {**CONFIG, **patterns, "target_modules": "all-linear", "unknown_of_next_year": None}
    q_layer, v_layer = read_adapter(find_files(save(tmp_path, config, tensors), "path"), "path").layers
    assert (q_layer.module, q_layer.rank, q_layer.scale, q_layer.inputs, q_layer.outputs) == (Q, 2, 2.0, 8, 6)
    assert (v_layer.module, v_layer.rank, v_layer.scale, v_layer.inputs, v_layer.outputs) == (v, 4, 8.0, 8, 3)
    config = {**config, "use_rslora": True}
    assert read_adapter(find_files(save(tmp_path, config, tensors), "path"), "path").layers[1].scale == 16.0


def test_is_written_without_settings_that_change_nothing(tmp_path: Path) -> None:
    adapter = read_adapter(find_files(save(tmp_path), "path"), "path")
    names = check_fits(adapter, BASE, LLAMA, "path")
    assert names == ("q_proj",)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "adapter_config.json").write_bytes(adapter.config.document(names))
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "again" / "adapter_model.safetensors")
    assert read_adapter(find_files(tmp_path / "again", "path"), "path") == adapter
    assert "somebody" not in (tmp_path / "again" / "adapter_config.json").read_text()
    # Not all layers with this end are adapted.
    more = {**BASE, "model.layers.1.self_attn.q_proj.weight": TensorHeader("F32", (6, 8))}
    assert check_fits(adapter, more, LLAMA, "path") == (Q,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3' is not supported; only LORA is"),
        ({"task_type": "SEQ_CLS"}, "task_type 'SEQ_CLS' is not supported"),
        ({"bias": "lora_only"}, "bias 'lora_only' is not supported"),
        ({"use_dora": True}, "use_dora True is not LoRA in its plain form"),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save .* replaces whole layers"),
        ({"lora_bias": True}, "lora_bias True adds biases"),
        ({"layer_replication": [[0, 4]]}, "layer_replication"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"target_parameters": ["experts"]}, "target_parameters"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa' is not supported"),
        ({"loftq_config": {"loftq_bits": 4}}, "loftq_config"),
        ({"use_something_new": True}, "the key 'use_something_new' is not known"),
        ({"r": 0}, "r 0 is not a rank from 1 to 4096"),
        ({"r": True}, "r True is not a rank"),
        ({"r": 4}, "which is not the rank 4"),
        ({"lora_alpha": "much"}, "lora_alpha 'much' is not a number"),
        ({"rank_pattern": {"(a+)+$": 2}}, "rank_pattern has the key"),
        ({"alpha_pattern": [1]}, "alpha_pattern is not an object"),
        ({"target_modules": ["v_proj"]}, f"tensors of {Q}, which adapter_config.json does not target"),
        ({"target_modules": ["q_proj", "v_proj"]}, "targets 'v_proj', but adapter_model.safetensors has no tensors"),
    ],
)
def test_what_is_not_plain_lora_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_adapter(find_files(save(tmp_path, {**CONFIG, **change}), "path"), "path")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "has no tensors"),
        ({f"base_model.model.{Q}.lora_A.weight": (2, 8)}, "has lora_A of .*q_proj, and not the other"),
        (
            {**PAIR, "base_model.model.lm_head.weight": (100, 8)},
            "'base_model.model.lm_head.weight', which is not a LoRA",
        ),
        ({**PAIR, f"base_model.model.{Q}.lora_magnitude_vector": (6,)}, "lora_magnitude_vector', which is not a LoRA"),
        ({name: (*shape, 1) for name, shape in PAIR.items()}, "have the shapes"),
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, tensors: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_adapter(find_files(save(tmp_path, None, tensors), "path"), "path")


def test_damaged_and_unsafe_files_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "adapter")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match="not a valid safetensors file of an adapter"):
        read_adapter(find_files(folder, "path"), "path")
    weights.rename(folder / "adapter_model.bin")
    with pytest.raises(InvalidInput, match=r"no adapter_model\.safetensors; adapter_model\.bin is a pickle"):
        read_adapter(find_files(folder, "path"), "path")
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(InvalidInput, match="is not a JSON object"):
        read_adapter(find_files(folder, "path"), "path")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"lm_head.weight": BASE["lm_head.weight"]}, "a layer that the base does not have"),
        ({f"{Q}.weight": TensorHeader("F32", (6, 16))}, "fit weights of 6 x 8, but the base has 6 x 16"),
        ({f"{Q}.weight": TensorHeader("F32", (8, 6))}, "fit weights of 6 x 8, but the base has 8 x 6"),
    ],
)
def test_an_adapter_must_fit_its_base(tmp_path: Path, tensors: dict[str, TensorHeader], message: str) -> None:
    adapter = read_adapter(find_files(save(tmp_path), "path"), "path")
    with pytest.raises(InvalidInput, match=message):
        check_fits(adapter, tensors, LLAMA, "path")
    with pytest.raises(InvalidInput, match="the base is an encoder with a decoder"):
        check_fits(adapter, BASE, {**LLAMA, "model_type": "bart"}, "path")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("lm_head", "adapts lm_head, which shares its weights with the embeddings"),
        ("model.layers.0.mlp.experts.3.w1", "adapters of experts are not supported"),
    ],
)
def test_layers_that_cannot_have_an_adapter(tmp_path: Path, module: str, message: str) -> None:
    tensors = {f"base_model.model.{module}.lora_A.weight": (2, 8), f"base_model.model.{module}.lora_B.weight": (100, 2)}
    folder = save(tmp_path, {**CONFIG, "target_modules": [module]}, tensors)
    adapter = read_adapter(find_files(folder, "path"), "path")
    with pytest.raises(InvalidInput, match=message):
        check_fits(adapter, {f"{module}.weight": TensorHeader("F32", (100, 8))}, TIED, "path")
