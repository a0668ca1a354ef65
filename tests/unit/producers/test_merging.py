"""Merged weights are those of peft, for every type of weights, file by file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from longshore.producers.models.merging import write_merged
from longshore.shared.errors import InvalidInput
from tests.language_models import save_language_model
from tests.lora_adapters import load_with_peft, save_adapter

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def files_of(base: Path, adapter: Path) -> dict[str, Path]:
    """As a version has them."""
    files = {path.name: path for path in base.iterdir()}
    return files | {f"adapter/{path.name}": path for path in adapter.iterdir() if path.name.startswith("adapter_")}


@pytest.mark.parametrize(
    ("model_type", "settings", "layers", "more"),
    [
        ("llama", {"shard_size": "60KB"}, ("q_proj", "down_proj"), {"use_rslora": True, "rank": 8}),
        ("llama", {"tie_word_embeddings": True}, ("v_proj", "up_proj"), {"alpha_pattern": {"v_proj": 24}}),
        (
            "gpt2",
            {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},
            ("c_attn", "c_fc"),
            {"fan_in_fan_out": True},
        ),
    ],
)
def test_merged_and_unmerged_logits_are_equal(
    tmp_path: Path, model_type: str, settings: dict[str, object], layers: tuple[str, ...], more: dict[str, object]
) -> None:
    base, adapter, merged = tmp_path / "base", tmp_path / "adapter", tmp_path / "merged"
    save_language_model(base, model_type, **settings)  # type: ignore[arg-type]
    save_adapter(base, adapter, layers=layers, **more)  # type: ignore[arg-type]
    merged.mkdir()
    write_merged(files_of(base, adapter), merged)
    assert {path.name for path in merged.iterdir()} == {path.name for path in base.iterdir()}
    tokens = torch.randint(3, 300, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        computed = AutoModelForCausalLM.from_pretrained(merged)(input_ids=tokens).logits
        adapted = load_with_peft(base, adapter)
        unmerged = adapted(input_ids=tokens).logits
        plain = AutoModelForCausalLM.from_pretrained(base)(input_ids=tokens).logits
    size = unmerged.abs().max()
    torch.testing.assert_close(computed / size, unmerged / size, rtol=0, atol=1e-5)
    assert (computed - plain).abs().max() > 0.1 * size
    expected = adapted.merge_and_unload().state_dict()  # type: ignore[operator]
    for path in merged.glob("*.safetensors"):
        for name, weight in load_file(path).items():
            torch.testing.assert_close(weight, expected[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_are_rounded_once_to_the_type_of_the_base(tmp_path: Path, dtype: torch.dtype) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    save_language_model(base)
    # With a rank of 1 each product is one multiplication, which rounds alike everywhere.
    save_adapter(base, adapter, rank=1, lora_alpha=1, layers=("k_proj",))
    weights = {name: tensor.to(dtype) for name, tensor in load_file(base / "model.safetensors").items()}
    name = "model.layers.1.self_attn.k_proj.weight"
    weights[name][0, :4] = torch.tensor([0.0, -0.0, float("inf"), float("nan")])
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    target = tmp_path / "merged"
    target.mkdir()
    write_merged(files_of(base, adapter), target)
    merged, products = load_file(target / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    path = f"base_model.model.{name.removesuffix('.weight')}"
    product = products[f"{path}.lora_B.weight"] * products[f"{path}.lora_A.weight"]
    expected = (weights[name].float() + product).to(dtype)
    torch.testing.assert_close(merged[name], expected, rtol=0, atol=0, equal_nan=True)
    others = [other for other in weights if "k_proj" not in other]
    assert all(torch.equal(merged[other], weights[other]) for other in others)


def test_a_sum_that_becomes_infinite_is_refused(tmp_path: Path) -> None:
    base, adapter, target = tmp_path / "base", tmp_path / "adapter", tmp_path / "merged"
    save_language_model(base)
    save_adapter(base, adapter, rank=1, layers=("k_proj",), lora_alpha=990_000)
    weights = {name: tensor.half() for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    target.mkdir()
    with pytest.raises(InvalidInput, match=r"k_proj\.weight is too large for its type F16"):
        write_merged(files_of(base, adapter), target)


def test_the_configuration_decides_the_scale(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    save_language_model(base)
    save_adapter(base, adapter, rank=4, lora_alpha=8, layers=("o_proj",))
    merged = []
    for alpha in (8, 16):
        config = json.loads((adapter / "adapter_config.json").read_text())
        (adapter / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": alpha}))
        target = tmp_path / f"merged-{alpha}"
        target.mkdir()
        write_merged(files_of(base, adapter), target)
        merged.append(load_file(target / "model.safetensors")["model.layers.0.self_attn.o_proj.weight"])
    plain = load_file(base / "model.safetensors")["model.layers.0.self_attn.o_proj.weight"]
    torch.testing.assert_close(merged[1] - plain, 2 * (merged[0] - plain))
