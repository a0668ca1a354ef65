"""Compares the sizes that ``config.json`` states with the tensors in the files, before a network is built from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.network import CONFIG, NetworkConfig
from longshore.shared.model_formats.huggingface.tensors import TensorHeader

#: What leads to the number of a layer in the name of a tensor, by the key that states how many there are.
_REPEATED = {
    "num_hidden_layers": re.compile(r"\.layer\.(\d+)\."),
    "n_layers": re.compile(r"\.layer\.(\d+)\."),
    "num_hidden_groups": re.compile(r"\.albert_layer_groups\.(\d+)\."),
    "inner_group_num": re.compile(r"\.albert_layers\.(\d+)\."),
}
#: The end of the name of a tensor, and the keys that state its sizes.
_SHAPES: Mapping[str, tuple[str | None, ...]] = {
    "embeddings.word_embeddings.weight": ("vocab_size", None),
    "embeddings.position_embeddings.weight": ("max_position_embeddings", None),
    "embeddings.token_type_embeddings.weight": ("type_vocab_size", None),
    "intermediate.dense.weight": ("intermediate_size", "hidden_size"),
    "ffn.lin1.weight": ("hidden_dim", "dim"),
}
#: The last layer of a classifier.
_HEADS = ("classifier.weight", "classifier.out_proj.weight")


def check_sizes(network: NetworkConfig, tensors: Mapping[str, TensorHeader], field: str) -> None:
    """Refuse a configuration of another size than the tensors.

    Sizes that it leaves out are those of the library, and tensors of other names are reported when a worker fills the
    network: both take little memory.

    :param tensors: by name.
    :raises InvalidInput: names the key, its value, and the size of the tensors.
    """
    for key, stated, found in _sizes(network, tensors):
        if stated != found:
            raise InvalidInput(
                field,
                f"{CONFIG}: {key} is {stated}, but the weights have {found}; use the configuration and the weights of "
                "one model",
            )


def _sizes(network: NetworkConfig, tensors: Mapping[str, TensorHeader]) -> Iterator[tuple[str, object, int]]:
    """The keys of the sizes, with what the configuration says and what the tensors have."""
    config = network.config
    for key, pattern in _REPEATED.items():
        # The layers of ALBERT are many runs of those in the file.
        if key in config and not (network.model_type == "albert" and key == "num_hidden_layers"):
            yield key, config[key], len({found[1] for name in tensors if (found := pattern.search(name))})
    for name, tensor in tensors.items():
        for end, keys in _SHAPES.items():
            if name.endswith(end):
                for stated, size in zip(keys, tensor.shape, strict=False):
                    if stated is not None and stated in config:
                        yield stated, config[stated], size
        if name in _HEADS and network.labels and tensor.shape:
            yield "the number of labels", len(network.labels), tensor.shape[0]
