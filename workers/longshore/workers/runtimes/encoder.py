"""Text networks of the library transformers, built from what is known and filled with tensors that were looked at.

No class, file or address that a folder names is ever followed: the library's own ``from_pretrained`` is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.model_formats.huggingface.model import TextModel
from longshore.workers.families.weights import check_fit, read_weights

#: What a configuration is not asked for: these say how to load, or change what the network returns.
_NOT_ASKED = frozenset(
    {"architectures", "dtype", "model_type", "output_attentions", "output_hidden_states", "return_dict", "use_cache"}
)
#: How tensors were called in old files, which most libraries still read.
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def build_encoder(model: TextModel, files: Mapping[str, Path], dtype: torch.dtype | None) -> nn.Module:
    """A network on the CPU, ready to be run.

    :param dtype: of its numbers; ``None`` takes the files'.
    :raises InvalidInput: this worker has no transformers, or the library refuses the configuration.
    :raises CorruptBlob: the weights cannot be read, or do not fit.
    """
    with torch.device("meta"):  # takes no memory, whatever the configuration says
        module = _empty(model)
    read = {name: tensor for file in model.weights for name, tensor in read_weights(files[file]).items()}
    tensors = _own(read, module, str(module.base_model_prefix), bare=model.network.head == "encoder")
    dtype = dtype or _common(tensors)
    tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    check_fit(module.to(dtype), tensors, f"its config.json ({model.network.model_type})")
    module.load_state_dict(tensors, strict=True, assign=True)
    _make_buffers(module)
    return module.eval()


def _empty(model: TextModel) -> nn.Module:
    try:
        from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
        from transformers.utils import logging
    except ImportError as error:
        raise InvalidInput(
            "runtime", f"transformers is not installed on this worker; pip install 'longshore[huggingface]' ({error})"
        ) from error
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    network = model.network
    try:
        # Keys that the class itself does not write are none that its network asks for.
        known = set(AutoConfig.for_model(network.model_type).to_dict()) - _NOT_ASKED
        options = {key: value for key, value in network.config.items() if key in known and not key.startswith("_")}
        if network.head != "encoder":
            options["num_labels"] = model.signature.outputs
        config = AutoConfig.for_model(network.model_type, **options)
        if network.head != "encoder":
            made: nn.Module = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
            return made
        made = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    except Exception as error:  # the library checks little, and fails anywhere
        raise InvalidInput("model", f"transformers refuses its config.json: {type(error).__name__}: {error}") from error
    if getattr(made, "pooler", None) is not None:
        made.pooler = None  # type: ignore[assignment]  # computes what no embedding is made of
    return made


def _own(tensors: Mapping[str, torch.Tensor], module: nn.Module, prefix: str, *, bare: bool) -> dict[str, torch.Tensor]:
    """The tensors of the network under its own names, without those that other uses of it have."""
    needed = module.state_dict().keys()
    inner = {name.removeprefix(f"{prefix}."): each for name, each in tensors.items() if name.startswith(f"{prefix}.")}
    tensors = inner if bare and inner else tensors
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)
        unused = name.endswith("position_ids") or name.removeprefix(f"{prefix}.").startswith("pooler.")
        if name in needed or not unused:
            renamed[name] = tensor
    return renamed


def _common(tensors: Mapping[str, torch.Tensor]) -> torch.dtype:
    """The type of all numbers; float32 where they are of several, or of one that is not computed in."""
    kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    [kind] = kinds if len(kinds) == 1 else [torch.float32]
    return kind if kind in (torch.bfloat16, torch.float16) else torch.float32


def _make_buffers(module: nn.Module) -> None:
    """Fill what is not kept in files: numbers that count the positions, and token types, which are all 0."""
    for owner in module.modules():
        for name, buffer in owner.named_buffers(recurse=False):
            if buffer.device.type != "meta":
                continue
            if name == "position_ids":
                made = torch.arange(buffer.shape[-1]).expand(buffer.shape)
            elif name == "token_type_ids":
                made = torch.zeros(buffer.shape, dtype=torch.long)
            else:
                raise CorruptBlob(f"transformers asks for {name}, which is not known here")
            setattr(owner, name, made.clone())
