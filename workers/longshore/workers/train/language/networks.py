"""Builds what is trained: a decoder with random weights, the network of a version, or an adapter on it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import CausalLmConfig, LoraConfig
from longshore.workers.train.language.tokenizer import PAD, LanguageTokenizer

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import LlamaForCausalLM, PreTrainedModel


def build_decoder(config: CausalLmConfig, context: int, tokenizer: LanguageTokenizer) -> LlamaForCausalLM:
    """A Llama of transformers with random weights in float32, drawn from torch's global generator."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config.check_shape()
    native = tokenizer.text.native
    pad = native.token_to_id(PAD)
    pad = tokenizer.special("pad_token") if pad is None else pad
    begin = tokenizer.special("bos_token")
    ends = sorted(tokenizer.ends)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.size,
            hidden_size=config.d_model,
            intermediate_size=config.feed_forward,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.kv_heads,
            max_position_embeddings=context,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=config.tie_embeddings,
            attention_dropout=config.dropout,
            dtype="float32",
            bos_token_id=begin,
            eos_token_id=tokenizer.end,
            pad_token_id=pad,
        )
    )
    model.generation_config = GenerationConfig(bos_token_id=begin, eos_token_id=ends, pad_token_id=pad)  # type: ignore[no-untyped-call]
    return model


def add_adapter(model: PreTrainedModel, config: LoraConfig, base: str) -> PeftModel:
    """Freeze a model and put an adapter on it, in float32, with weights from torch's global generator.

    :param base: the name of the version.
    :raises InvalidInput: it has no linear layer of one of the names, or that layer is the embedding of tokens, too, or
        the name is also that of experts.
    """
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    layers = _linear_layers(model)
    # Not "all-linear": with it, peft adapts the experts of some models, too, which no engine can run.
    names = list(config.target_modules) or sorted(layers - _output_layers(model))
    for name in names:
        if name not in layers:
            known = ", ".join(sorted(layers))
            raise InvalidInput("config.target_modules", f"{name!r}: {base} has no such linear layer; it has {known}")
    settings = PeftConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha or 2 * config.rank,
        lora_dropout=config.dropout,
        target_modules=names,
        bias="none",
    )
    # The library writes it into the adapter: it is a folder of this worker.
    model.name_or_path = base
    with warnings.catch_warnings():
        # peft asks transformers for a property under the name that it had before.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        # On experts, which are refused below.
        warnings.filterwarnings("ignore", "The following .*_pattern keys did not match", RuntimeWarning)
        adapted = get_peft_model(model, settings)
    if experts := sorted(settings.target_parameters or ()):
        # Of a model with experts in some layers only, the other layers can have names that experts had before.
        raise InvalidInput(
            "config.target_modules",
            f"{', '.join(names)}: of {base} these are also names of experts, {', '.join(experts)}, which are not "
            "adapted; name the layers of attention alone, such as q_proj and v_proj",
        )
    return adapted


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, the same bytes for the same adapter."""
    name = model.peft_config["default"].base_model_name_or_path
    model.save_pretrained(str(folder), save_embedding_layers=False)
    path = folder / "adapter_config.json"
    settings = {**json.loads(path.read_text()), "base_model_name_or_path": name}
    if isinstance(settings["target_modules"], list):
        settings["target_modules"] = sorted(settings["target_modules"])  # a set, in a new order in each process
    path.write_text(json.dumps(settings, indent=2, sort_keys=True))


def _output_layers(model: PreTrainedModel) -> set[str]:
    """The name of the layer that computes the logits."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return {path.rsplit(".", 1)[-1] for path, layer in model.named_modules() if layer is head}


def _linear_layers(model: PreTrainedModel) -> set[str]:
    """The names of the layers that an adapter can change: not the output layer if it is the embedding of tokens."""
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    shared = head if head is not None and head.weight is model.get_input_embeddings().weight else None
    return {
        path.rsplit(".", 1)[-1]
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and layer is not shared
    }
