"""Builds text networks of the library transformers from known options and fills them with checked tensors.

No class, file or address that a folder names is ever loaded: the library's own ``from_pretrained`` is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.model_formats.huggingface.model import TextModel
from longshore.workers.families.weights import check_fit, read_weights

#: Configuration keys that are ignored: they control loading or change what the network returns.
_NOT_ASKED = frozenset(
    {
        "architectures",
        "chunk_size_feed_forward",
        "dtype",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "use_cache",
    }
)
#: Tensor names in old files, which most libraries still read.
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def build_encoder(model: TextModel, files: Mapping[str, Path], dtype: torch.dtype | None) -> nn.Module:
    """Build a network on the CPU, ready to run.

    :param dtype: the type of the weights; default: the type in the files.
    :raises InvalidInput: this worker has no transformers, or the library refuses the configuration.
    :raises CorruptBlob: the weights cannot be read, or do not fit.
    """
    with torch.device("meta"):  # takes no memory, for any configuration
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
        from transformers import (
            AutoConfig,
            AutoModel,
            AutoModelForSequenceClassification,
            AutoModelForTokenClassification,
        )
        from transformers.utils import logging
    except ImportError as error:
        raise InvalidInput(
            "runtime", f"transformers is not installed on this worker; pip install 'longshore[huggingface]' ({error})"
        ) from error
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    network = model.network
    try:
        # The network uses only keys that its configuration class writes itself.
        plain = AutoConfig.for_model(network.model_type)
        known = {*plain.to_dict(), *plain.attribute_map} - _NOT_ASKED
        options = {key: value for key, value in network.config.items() if key in known and not key.startswith("_")}
        if network.head != "encoder":
            options["num_labels"] = model.signature.outputs
        config = AutoConfig.for_model(network.model_type, **options)
        if network.head != "encoder":
            kind = AutoModelForTokenClassification if network.head == "tokens" else AutoModelForSequenceClassification
            made: nn.Module = kind.from_config(config)  # type: ignore[no-untyped-call]
            return made
        made = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    except Exception as error:  # the library validates little and can raise anything
        raise InvalidInput("model", f"transformers refuses its config.json: {type(error).__name__}: {error}") from error
    if getattr(made, "pooler", None) is not None:
        made.pooler = None  # type: ignore[assignment]  # embeddings do not use its output
    return made


def _own(tensors: Mapping[str, torch.Tensor], module: nn.Module, prefix: str, *, bare: bool) -> dict[str, torch.Tensor]:
    """The tensors of the network under its own names, without those that only other heads use."""
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
    """The floating-point type of all tensors; float32 if there are several or if it is not bfloat16 or float16."""
    kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    [kind] = kinds if len(kinds) == 1 else [torch.float32]
    return kind if kind in (torch.bfloat16, torch.float16) else torch.float32


def _make_buffers(module: nn.Module) -> None:
    """Fill the buffers that files do not contain: position ids, and token types, which are all 0."""
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
