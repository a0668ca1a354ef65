"""The ways in which a network's weights can begin, by name.

Names and meanings are PyTorch's: https://docs.pytorch.org/docs/stable/nn.init.html
"""

from __future__ import annotations

from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.vocabulary import InitName

#: The initializations with a standard deviation, and its default, which is that of BERT.
SPREAD: Final = ("normal", "trunc_normal")
STD: Final = 0.02


def check_init(init: InitName, std: float | None) -> None:
    """:raises InvalidInput: ``init`` has no standard deviation to choose, and ``std`` is given."""
    if std is not None and init not in SPREAD:
        raise InvalidInput("init_std", f"{std}: it is of init {' or '.join(SPREAD)}, not {init}; leave it out")
