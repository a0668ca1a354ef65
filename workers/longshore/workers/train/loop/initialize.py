"""Initial weights of a network, if not the defaults of its family. https://docs.pytorch.org/docs/stable/nn.init.html"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from longshore.shared.specs.initialization import STD
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import InitName
from longshore.workers.families.lookup import ColumnLookup
from longshore.workers.train.seeds import derive_seed

#: Fills a tensor of two or more dimensions in place; some take a standard deviation.
_Fill = Callable[[torch.Tensor, float, torch.Generator], object]

#: Where a normal distribution is truncated, in standard deviations, as in BERT and Keras.
_CUT = 2.0

#: Xavier: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010,
#: https://proceedings.mlr.press/v9/glorot10a.html. Kaiming: He et al., "Delving deep into rectifiers", 2015,
#: https://arxiv.org/abs/1502.01852, for ReLU, by the inputs of a unit. Orthogonal: Saxe et al., "Exact solutions to the
#: nonlinear dynamics of learning in deep linear neural networks", 2013, https://arxiv.org/abs/1312.6120.
_FILLS: dict[InitName, _Fill] = {
    "xavier_uniform": lambda tensor, std, draw: nn.init.xavier_uniform_(tensor, generator=draw),
    "xavier_normal": lambda tensor, std, draw: nn.init.xavier_normal_(tensor, generator=draw),
    "kaiming_uniform": lambda tensor, std, draw: nn.init.kaiming_uniform_(tensor, nonlinearity="relu", generator=draw),
    "kaiming_normal": lambda tensor, std, draw: nn.init.kaiming_normal_(tensor, nonlinearity="relu", generator=draw),
    "orthogonal": lambda tensor, std, draw: nn.init.orthogonal_(tensor, generator=draw),
    "normal": lambda tensor, std, draw: nn.init.normal_(tensor, 0.0, std, generator=draw),
    "trunc_normal": lambda tensor, std, draw: nn.init.trunc_normal_(
        tensor, 0.0, std, -_CUT * std, _CUT * std, generator=draw
    ),
}


def initialize(network: nn.Module, spec: TrainSpec) -> None:
    """Initialize as ``spec.init`` says: draw weights of two or more dimensions with the seed, and set biases to 0.

    Scales of norms stay 1, and the embedding of padding stays 0. ``default`` changes nothing.

    :param network: on the CPU. Torch's global generators are not used.
    """
    if spec.init == "default":
        return
    fill, std = _FILLS[spec.init], spec.init_std or STD
    draw = torch.Generator().manual_seed(derive_seed("init", spec.seed))
    with torch.no_grad():
        for name, parameter in _own(network):
            if parameter.dim() > 1:
                fill(parameter, std, draw)
            elif "bias" in name:
                parameter.zero_()
        for module in network.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
            if isinstance(module, ColumnLookup):
                module.clear_unknown()


def _own(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield each parameter once, with its name in its module; skip norms, whose parameters may have two dimensions."""
    seen: set[int] = set()
    for module in network.modules():
        if isinstance(module, nn.LayerNorm | nn.RMSNorm):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter
