"""``causal_lm`` and ``lora``: language models. They are made of texts, by ``workers/train/language``."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import LANGUAGE_MODELS, FamilyConfig, LanguageConfig


@dataclass(frozen=True)
class LanguageFamily:
    """A family that trains language models. See :class:`~longshore.workers.families.base.Family`."""

    name: str
    config: type[LanguageConfig]

    def build(self, config: FamilyConfig, width: int, outputs: int) -> nn.Module:
        """:raises InvalidInput: always."""
        raise InvalidInput("family", f"{self.name!r} is trained on texts, and reads no rows of numbers")


LANGUAGE_FAMILIES = tuple(LanguageFamily(name, config) for name, config in LANGUAGE_MODELS.items())
