"""The family interface, and a family defined by a configuration class and a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import FamilyConfig

C = TypeVar("C", bound=FamilyConfig)


class Family(Protocol):
    """A kind of network that a job can name. Packages register families as entry points in ``longshore.families``."""

    @property
    def name(self) -> str:
        """The name that jobs use, as in ``family="mlp"``."""

    @property
    def config(self) -> type[FamilyConfig]:
        """The class of its configuration."""

    def build(self, config: FamilyConfig, width: int, outputs: int) -> nn.Module:
        """Build a newly initialised network on the CPU.

        :param config: an instance of this family's ``config``.
        :param width: the number of values in a row.
        :param outputs: the number of outputs per row: one logit per class or label, 1 for regression, or the width
            of an embedding.
        :returns: a module from float32 ``(n, width)`` to float32 ``(n, outputs)``.
        :raises InvalidInput: the configuration does not fit ``width`` or belongs to another family.
        """


@dataclass(frozen=True)
class NetworkFamily(Generic[C]):
    """A family defined by a function: ``NetworkFamily("tiny", TinyConfig, build_tiny)``."""

    name: str
    config: type[C]
    #: Builds the network from the configuration, the width and the outputs.
    network: Callable[[C, int, int], nn.Module]
    #: Store the weights of 2-d convolutions with channels last, which is faster. The network must then change the shape
    #: of their outputs with ``reshape`` or ``flatten``, because ``view`` does not work on this layout.
    channels_last: bool = False

    def build(self, config: FamilyConfig, width: int, outputs: int) -> nn.Module:
        """See :meth:`Family.build`."""
        if not isinstance(config, self.config):
            raise InvalidInput(
                "config", f"family {self.name!r} takes a {self.config.__name__}, not a {type(config).__name__}"
            )
        return self.network(config, width, outputs)
