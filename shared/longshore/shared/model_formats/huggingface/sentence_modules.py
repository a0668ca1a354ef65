"""Reads the modules of sentence-transformers that follow the network: pooling, dense layers and normalisation.

https://sbert.net/docs/package_reference/sentence_transformer/modules.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, read_object, read_optional
from longshore.shared.model_formats.huggingface.keys import DENSE_KEYS, NORMALIZE_KEYS, POOLING_KEYS
from longshore.shared.model_formats.huggingface.tensors import WEIGHTS, read_module_header
from longshore.shared.specs.validation import shorten

#: How the vectors of the tokens of a text become one.
PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
#: The function of a dense layer.
ActivationName = Literal["Tanh", "Identity", "ReLU", "GELU"]

#: The key of each mode in files of earlier versions of the library, in the order in which several are joined.
_MODE_KEYS: Mapping[str, PoolingMode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
#: The classes of the functions, by all names that they have in PyTorch.
_ACTIVATIONS: Mapping[str, ActivationName] = {
    f"torch.nn.{package}{name}": name
    for name in get_args(ActivationName)
    for package in ("", "modules.", f"modules.{'linear' if name == 'Identity' else 'activation'}.")
}
#: The largest embedding.
_MAX_WIDTH = 2**20


@dataclass(frozen=True)
class PoolingConfig:
    """How the vectors of the tokens of a text become one."""

    #: The vectors of several modes are joined in this order.
    modes: tuple[PoolingMode, ...]
    #: Whether the tokens of the prompt count.
    include_prompt: bool


@dataclass(frozen=True)
class DenseConfig:
    """A layer that turns a vector into another one."""

    #: Where its settings are.
    name: str
    #: The safetensors file with its tensors.
    weights: str
    inputs: int
    outputs: int
    bias: bool
    activation: ActivationName
    #: Whether the vector before it, projected if it has another size, is added to its output.
    residual: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of its tensors, by name."""
        shapes: dict[str, tuple[int, ...]] = {"linear.weight": (self.outputs, self.inputs)}
        if self.bias:
            shapes["linear.bias"] = (self.outputs,)
        if self.residual and self.inputs != self.outputs:
            shapes["residual.weight"] = (self.outputs, self.inputs)
        return shapes


@dataclass(frozen=True)
class NormalizeConfig:
    """Scales a vector to Euclidean length 1."""


#: What follows the pooling.
SentenceLayer: TypeAlias = DenseConfig | NormalizeConfig


def read_pooling(files: Files, path: str, width: int, field: str) -> PoolingConfig:
    """Read the module Pooling.

    :param path: its folder in the model's folder.
    :param width: the size of a token's vector.
    :raises InvalidInput: a setting is not supported or does not fit the network.
    """
    name = f"{path}/config.json"
    config = read_object(files, name, field)
    POOLING_KEYS.check(config, name, field)
    for key in ("word_embedding_dimension", "embedding_dimension"):
        if config.get(key, width) != width:
            raise InvalidInput(
                field,
                f"{name}: {key}: the pooling is for vectors of {shorten(config[key])} numbers, but the network's have "
                f"{width}",
            )
    stated = config.get("pooling_mode")
    if stated is None:
        chosen: list[object] = [mode for key, mode in _MODE_KEYS.items() if config.get(key)]
    else:  # the library then ignores the older keys
        chosen = stated if isinstance(stated, list) else [stated]
    known = get_args(PoolingMode)
    if not chosen or len(chosen) > len(known) or any(mode not in known for mode in chosen):
        raise InvalidInput(
            field, f"{name}: pooling_mode {shorten(stated or chosen)} is not supported; use one of {', '.join(known)}"
        )
    return PoolingConfig(
        tuple(cast(PoolingMode, mode) for mode in chosen), _read_bool(config, "include_prompt", True, name, field)
    )


def read_layer(files: Files, kind: str, path: str, width: int, field: str) -> SentenceLayer:
    """Read a module Dense or Normalize.

    :param kind: its class.
    :param path: its folder in the model's folder.
    :param width: the size of the vectors that it gets.
    :raises InvalidInput: a setting is not supported, or its weights are missing or of another size.
    """
    name = f"{path}/config.json"
    if kind == "Normalize":
        NORMALIZE_KEYS.check(read_optional(files, name, field), name, field)
        return NormalizeConfig()
    config = read_object(files, name, field)
    DENSE_KEYS.check(config, name, field)
    if config.get("in_features") != width or isinstance(config.get("in_features"), bool):
        raise InvalidInput(
            field,
            f"{name}: in_features {shorten(config.get('in_features'))}: the vectors before it have {width} numbers",
        )
    outputs = config.get("out_features")
    if not isinstance(outputs, int) or isinstance(outputs, bool) or not 0 < outputs <= _MAX_WIDTH:
        raise InvalidInput(
            field, f"{name}: out_features {shorten(outputs)} is not a whole number from 1 to {_MAX_WIDTH}"
        )
    function = config.get("activation_function", "torch.nn.Tanh")
    if not isinstance(function, str) or function not in _ACTIVATIONS:
        raise InvalidInput(
            field,
            f"{name}: activation_function {shorten(function)} is not supported; use one of "
            f"{', '.join(f'torch.nn.{each}' for each in get_args(ActivationName))}",
        )
    dense = DenseConfig(
        name,
        f"{path}/{WEIGHTS}",
        width,
        outputs,
        _read_bool(config, "bias", True, name, field),
        _ACTIVATIONS[function],
        _read_bool(config, "use_residual", False, name, field),
    )
    _check_weights(files, dense, field)
    return dense


def _check_weights(files: Files, dense: DenseConfig, field: str) -> None:
    """Compare the tensors of the file with the sizes that the settings state, before a layer is built from them."""
    shapes = {name: tensor.shape for name, tensor in read_module_header(files, dense.weights, field).items()}
    if shapes != dense.shapes:
        raise InvalidInput(
            field,
            f"{dense.weights} has the tensors {shorten(shapes)}, but {dense.name} describes {shorten(dense.shapes)}; "
            "use the configuration and the weights of one model",
        )


def _read_bool(config: Mapping[str, object], key: str, default: bool, name: str, field: str) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise InvalidInput(field, f"{name}: {key} {shorten(value)} is not true or false")
    return value
