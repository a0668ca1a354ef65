"""A LoRA adapter in the format of the library peft: for some linear layers, two matrices whose product is added.

``W x`` becomes ``W x + scale * B (A x)``, where ``A`` is ``(rank, inputs)`` and ``B`` is ``(outputs, rank)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.adapter_config import ADAPTER_CONFIG, AdapterConfig, read_adapter_config
from longshore.shared.model_formats.huggingface.architectures import ENCODER_DECODERS
from longshore.shared.model_formats.huggingface.files import Files, read_object
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.model_formats.huggingface.tensors import TensorHeader, find_weights, read_header

#: Where the two files of an adapter are in the folder of a version.
ADAPTER_FOLDER: Final = "adapter"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
#: Types of models whose linear layers store their weights as (inputs, outputs).
TRANSPOSED: Final = ("gpt2", "openai-gpt")
_PICKLE: Final = "adapter_model.bin"
_NAME: Final = re.compile(r"base_model\.model\.(?P<module>[A-Za-z0-9_.]{1,300})\.lora_(?P<matrix>[AB])\.weight")
_TYPES: Final = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, kw_only=True)
class AdapterLayer:
    """What an adapter adds to one linear layer."""

    #: The path of the layer in the network, such as ``model.layers.0.mlp.down_proj``.
    module: str
    inputs: int
    outputs: int
    rank: int
    scale: float

    @property
    def a(self) -> str:
        """The name of the tensor ``A`` in the adapter's file."""
        return f"base_model.model.{self.module}.lora_A.weight"

    @property
    def b(self) -> str:
        """The name of the tensor ``B``."""
        return f"base_model.model.{self.module}.lora_B.weight"


@dataclass(frozen=True)
class Adapter:
    """A checked adapter."""

    config: AdapterConfig
    #: At least one, sorted by path.
    layers: tuple[AdapterLayer, ...]


def is_adapter_file(path: str) -> bool:
    """Whether a file of a version belongs to its adapter."""
    return path.startswith(f"{ADAPTER_FOLDER}/")


def read_adapter(files: Files, field: str) -> Adapter:
    """Read the configuration and the header of the weights of an adapter.

    :param files: ``adapter_config.json`` and ``adapter_model.safetensors``.
    :param field: names the folder in an error.
    :raises InvalidInput: a file is missing or damaged, or the adapter is not plain LoRA of linear layers.
    """
    config = read_adapter_config(files, field)
    if ADAPTER_WEIGHTS not in files:
        raise InvalidInput(
            field,
            f"there is no {ADAPTER_WEIGHTS}; {_PICKLE} is a pickle and never read, because loading one can run code "
            "that is hidden in it: save the adapter with save_pretrained(folder)",
        )
    try:
        tensors = read_header(files[ADAPTER_WEIGHTS], _TYPES)
    except OSError as error:
        raise InvalidInput(field, f"cannot read {ADAPTER_WEIGHTS}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(field, f"{ADAPTER_WEIGHTS} is not a valid safetensors file of an adapter: {error}") from None
    layers = tuple(_read_layer(module, a, b, config, field) for module, a, b in _pairs(tensors, field))
    if not layers:
        raise InvalidInput(field, f"{ADAPTER_WEIGHTS} has no tensors")
    for layer in layers:
        if config.targets and not config.targets_layer(layer.module):
            raise InvalidInput(
                field, f"{ADAPTER_WEIGHTS} has tensors of {layer.module}, which {ADAPTER_CONFIG} does not target"
            )
    for target in config.targets:
        if not any(layer.module == target or layer.module.endswith(f".{target}") for layer in layers):
            raise InvalidInput(
                field, f"{ADAPTER_CONFIG} targets {target[:80]!r}, but {ADAPTER_WEIGHTS} has no tensors of such a layer"
            )
    return Adapter(config, layers)


def read_version_adapter(files: Files, field: str) -> Adapter | None:
    """Read the adapter of a version, and check that it fits the other files.

    :param files: those of the version.
    :returns: ``None`` if the version has none.
    :raises InvalidInput: a file is missing or damaged, or they do not fit together.
    """
    own = {name.partition("/")[2]: path for name, path in files.items() if is_adapter_file(name)}
    if not own:
        return None
    adapter = read_adapter(own, field)
    check_fits(adapter, find_weights(files, field)[1], read_object(files, CONFIG, field), field)
    return adapter


def find_weight(module: str, tensors: Mapping[str, TensorHeader]) -> str | None:
    """The name of the weight of a layer among the tensors of a model; ``None`` if there is no such layer.

    Folders of some models leave out the first part of each path, such as ``transformer`` of GPT-2.
    """
    name = f"{module}.weight"
    return next((found for found in (name, name.partition(".")[2]) if found in tensors), None)


def check_fits(
    adapter: Adapter, tensors: Mapping[str, TensorHeader], config: Mapping[str, object], field: str
) -> tuple[str, ...]:
    """Check that each layer of an adapter is a linear layer of a model, with the same sizes.

    :param tensors: those of the model, by name.
    :param config: the content of the model's ``config.json``.
    :returns: the adapted layers, as ``target_modules`` names them: the ends of their paths if all layers with such an
        end are adapted, otherwise their paths.
    :raises InvalidInput: names the layer, its sizes and what the model has; or the model is no decoder.
    """
    if config.get("model_type") in ENCODER_DECODERS:
        raise InvalidInput(
            field, "the base is an encoder with a decoder, and only decoders run adapters; import the merged model"
        )
    for layer in adapter.layers:
        if ".experts." in f".{layer.module}.":
            raise InvalidInput(field, f"adapts {layer.module}: adapters of experts are not supported; merge it first")
        if layer.module == "lm_head" and ("lm_head.weight" not in tensors or config.get("tie_word_embeddings") is True):
            raise InvalidInput(
                field,
                "adapts lm_head, which shares its weights with the embeddings of the model; train the adapter without "
                "lm_head",
            )
        weight = find_weight(layer.module, tensors)
        if weight is None:
            raise InvalidInput(
                field, f"adapts {layer.module}, a layer that the base does not have; give the base that it was made for"
            )
        shape, expected = tensors[weight].shape, (layer.outputs, layer.inputs)
        if shape != (expected[::-1] if config.get("model_type") in TRANSPOSED else expected):
            raise InvalidInput(
                field,
                f"its tensors of {layer.module} fit weights of {expected[0]} x {expected[1]}, but the base has "
                f"{' x '.join(map(str, shape))}; give the base that it was made for",
            )
    return _short_names([layer.module for layer in adapter.layers], tensors)


def _short_names(modules: Sequence[str], tensors: Mapping[str, TensorHeader]) -> tuple[str, ...]:
    adapted = {find_weight(module, tensors) for module in modules}
    ends = {module.rpartition(".")[2] for module in modules}
    for name in tensors:
        if name not in adapted and name.endswith(".weight") and name.split(".")[-2] in ends:
            return tuple(modules)
    return tuple(sorted(ends))


def _pairs(tensors: Mapping[str, TensorHeader], field: str) -> list[tuple[str, TensorHeader, TensorHeader]]:
    """The layers, each with its two matrices."""
    matrices: dict[str, dict[str, TensorHeader]] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise InvalidInput(
                field,
                f"{ADAPTER_WEIGHTS} has the tensor {name[:120]!r}, which is not a LoRA matrix of a linear layer; train "
                "the adapter on linear layers alone",
            )
        matrices.setdefault(match["module"], {})[match["matrix"]] = tensor
    for module, both in matrices.items():
        if len(both) != 2:
            raise InvalidInput(field, f"{ADAPTER_WEIGHTS} has lora_{next(iter(both))} of {module}, and not the other")
    return [(module, both["A"], both["B"]) for module, both in sorted(matrices.items())]


def _read_layer(module: str, a: TensorHeader, b: TensorHeader, config: AdapterConfig, field: str) -> AdapterLayer:
    rank = config.rank_of(module)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != rank or b.shape[1] != rank:
        raise InvalidInput(
            field,
            f"{ADAPTER_WEIGHTS}: the matrices of {module} have the shapes {list(a.shape)} and {list(b.shape)}, which "
            f"is not the rank {rank} that {ADAPTER_CONFIG} states",
        )
    return AdapterLayer(module=module, inputs=a.shape[1], outputs=b.shape[0], rank=rank, scale=config.scale_of(module))
