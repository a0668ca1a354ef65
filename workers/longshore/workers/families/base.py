"""What a family is, and how one is made of a configuration class and a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import FamilyConfig

C = TypeVar("C", bound=FamilyConfig)


class Family(Protocol):
    """A kind of network that a job can name. Packages offer theirs as entry points in ``longshore.families``."""

    @property
    def name(self) -> str:
        """What a job calls it, as in ``family="mlp"``."""

    @property
    def config(self) -> type[FamilyConfig]:
        """What it can be told."""

    def build(self, config: FamilyConfig, width: int, outputs: int) -> nn.Module:
        """Make a freshly initialised network on the CPU.

        :param config: an instance of this family's ``config``.
        :param width: numbers in one row.
        :param outputs: numbers it gives for one row: one logit a class or label, 1 for regression, or the width of
            an embedding.
        :returns: a module from float32 ``(n, width)`` to float32 ``(n, outputs)``.
        :raises InvalidInput: the configuration does not fit ``width``, or is another family's.
        """


@dataclass(frozen=True)
class NetworkFamily(Generic[C]):
    """A family made of a function: ``NetworkFamily("tiny", TinyConfig, build_tiny)``."""

    name: str
    config: type[C]
    #: From the configuration, the width and the outputs to the network.
    network: Callable[[C, int, int], nn.Module]
    #: Its 2-d convolutions may be laid out with channels last, which is faster. The network must not ``view`` what they
    #: put out in another shape, which only ``reshape`` and ``flatten`` can then do.
    channels_last: bool = False

    def build(self, config: FamilyConfig, width: int, outputs: int) -> nn.Module:
        """See :meth:`Family.build`."""
        if not isinstance(config, self.config):
            raise InvalidInput(
                "config", f"family {self.name!r} takes a {self.config.__name__}, not a {type(config).__name__}"
            )
        return self.network(config, width, outputs)
