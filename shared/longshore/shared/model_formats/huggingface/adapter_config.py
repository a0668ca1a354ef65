"""``adapter_config.json`` of a LoRA adapter, as the library peft writes it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, read_object
from longshore.shared.model_formats.huggingface.keys import FileKeys, is_empty
from longshore.shared.specs.validation import shorten

_Number = TypeVar("_Number", int, float)
ADAPTER_CONFIG: Final = "adapter_config.json"
#: The largest rank that is read. Above it an adapter is hardly smaller than its weights.
MAX_RANK: Final = 4096
#: A key of ``rank_pattern`` and ``alpha_pattern`` is a regular expression. These match in linear time.
_PATTERN: Final = re.compile(r"\^?[A-Za-z0-9_.]{1,200}")
#: How the weights of a new adapter are drawn. The other ways also change the weights of the model.
_INITIAL: Final = (True, False, "gaussian", "eva", "orthogonal")
_OTHER: Final = "is not LoRA in its plain form; train the adapter without it, or merge it and import the merged model"
_KEYS: Final = FileKeys(
    honoured=frozenset(
        {"peft_type", "task_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "bias"}
        | {"target_modules", "init_lora_weights"}
    ),
    # Settings of the training, and which layers were chosen: the tensors say that.
    irrelevant=frozenset(
        {"auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "lora_dropout"}
        | {"exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out", "megatron_core"}
        | {"eva_config", "velora_config", "ensure_weight_tying", "qalora_group_size"}
    ),
    refused={
        "modules_to_save": "replaces whole layers of the model; train the adapter without it",
        "use_dora": _OTHER,
        "lora_bias": "adds biases; train the adapter without it",
        "use_qalora": _OTHER,
        "use_bdlora": _OTHER,
        "layer_replication": "changes the layers of the model; merge the adapter and import the merged model",
        "trainable_token_indices": "changes embeddings of the model; train the adapter without it",
        "target_parameters": "changes weights that are not those of linear layers; train the adapter without it",
        "alora_invocation_tokens": _OTHER,
        "arrow_config": _OTHER,
        "kasa_config": _OTHER,
        "monteclora_config": _OTHER,
        "megatron_config": _OTHER,
        "loftq_config": "changes the weights of the model; merge the adapter and import the merged model",
        "corda_config": "changes the weights of the model; merge the adapter and import the merged model",
        "lora_ga_config": "changes the weights of the model; merge the adapter and import the merged model",
    },
    closed=True,
)


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """What decides the outputs: the rank and the scale of each layer."""

    rank: int
    alpha: float
    #: Whether alpha is divided by the square root of the rank, instead of the rank.
    rslora: bool = False
    #: Ranks and alphas of layers whose path ends with the key, which is a simple pattern. The first that fits counts.
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    #: Paths of layers, or their ends. Empty: not a list, so that the tensors alone say which layers there are.
    targets: tuple[str, ...] = ()

    def rank_of(self, module: str) -> int:
        """The rank of a layer, by its path in the network."""
        return _matching(self.ranks, module, self.rank)

    def scale_of(self, module: str) -> float:
        """What the product of both matrices of a layer is multiplied by."""
        rank, alpha = self.rank_of(module), _matching(self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def targets_layer(self, module: str) -> bool:
        """Whether a layer is one of :attr:`targets`."""
        return any(module == target or module.endswith(f".{target}") for target in self.targets)

    def document(self, targets: Sequence[str]) -> bytes:
        """The file for these layers, which are paths or their ends, without anything that does not change outputs."""
        values = {
            **{"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "inference_mode": True},
            **{"r": self.rank, "lora_alpha": self.alpha, "lora_dropout": 0.0, "use_rslora": self.rslora},
            **{"rank_pattern": dict(self.ranks), "alpha_pattern": dict(self.alphas)},
            "target_modules": sorted(targets),
        }
        return json.dumps(values, indent=2).encode()


def read_adapter_config(files: Files, field: str) -> AdapterConfig:
    """Read the file.

    :param field: names the folder in an error.
    :raises InvalidInput: it is missing or damaged, or the adapter is not plain LoRA; names the key and the remedy.
    """
    values = {key: value for key, value in read_object(files, ADAPTER_CONFIG, field).items() if not is_empty(value)}
    if values.get("peft_type") != "LORA":
        raise InvalidInput(
            field, f"{ADAPTER_CONFIG}: peft_type {shorten(values.get('peft_type'))} is not supported; only LORA is"
        )
    _KEYS.check(values, ADAPTER_CONFIG, field)
    for key, allowed in (("bias", ("none",)), ("task_type", ("CAUSAL_LM",)), ("init_lora_weights", _INITIAL)):
        if key in values and values[key] not in allowed:
            expected = " or ".join(json.dumps(value) for value in allowed)
            raise InvalidInput(
                field,
                f"{ADAPTER_CONFIG}: {key} {shorten(values[key])} is not supported, only {expected}; merge the adapter "
                "into the model and import the merged model",
            )
    targets = values.get("target_modules")
    return AdapterConfig(
        rank=_rank(values.get("r"), "r", field),
        alpha=_alpha(values.get("lora_alpha"), "lora_alpha", field),
        rslora=values.get("use_rslora", False) is True,
        ranks={key: _rank(value, "rank_pattern", field) for key, value in _pattern(values, "rank_pattern", field)},
        alphas={key: _alpha(value, "alpha_pattern", field) for key, value in _pattern(values, "alpha_pattern", field)},
        targets=tuple(str(target) for target in targets) if isinstance(targets, list) else (),
    )


def _matching(values: Mapping[str, _Number], module: str, default: _Number) -> _Number:
    """The value of the first key that fits, as peft compares them."""
    return next((value for key, value in values.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def _pattern(values: Mapping[str, object], name: str, field: str) -> list[tuple[str, object]]:
    entries = values.get(name, {})
    if not isinstance(entries, dict):
        raise InvalidInput(field, f"{ADAPTER_CONFIG}: {name} is not an object")
    for key in entries:
        if not _PATTERN.fullmatch(key):
            raise InvalidInput(field, f"{ADAPTER_CONFIG}: {name} has the key {shorten(key)}; give the path of a layer")
    return list(entries.items())


def _rank(value: object, name: str, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_RANK:
        return value
    raise InvalidInput(field, f"{ADAPTER_CONFIG}: {name} {shorten(value)} is not a rank from 1 to {MAX_RANK}")


def _alpha(value: object, name: str, field: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6:
        return value
    raise InvalidInput(field, f"{ADAPTER_CONFIG}: {name} {shorten(value)} is not a number above 0 and below 1e6")
