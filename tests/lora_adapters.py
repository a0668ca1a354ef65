"""LoRA adapters with random weights, as peft saves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

#: The linear layers of Llama and of models like it.
LLAMA_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def save_adapter(
    base: Path, folder: Path, *, rank: int = 4, layers: Sequence[str] = LLAMA_LAYERS, seed: int = 0, **more: object
) -> None:
    """An adapter that changes the outputs of a model much.

    :param more: settings of peft's ``LoraConfig``.
    """
    model = AutoModelForCausalLM.from_pretrained(base)
    settings = {"r": rank, "target_modules": list(layers), "task_type": "CAUSAL_LM", **more}
    adapted = get_peft_model(model, LoraConfig(**settings))  # type: ignore[arg-type]
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.15)
    adapted.save_pretrained(str(folder), save_embedding_layers=False)


def load_with_peft(base: Path, folder: Path) -> torch.nn.Module:
    """The model with the adapter, as peft runs it."""
    module: torch.nn.Module = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    return module.eval()
