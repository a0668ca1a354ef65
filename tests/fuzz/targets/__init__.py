"""All targets, by name."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz.target import Target
from tests.fuzz.targets import data, language, models, texts

#: The targets that one process of the tests runs, by the name of the group.
GROUPS: Mapping[str, tuple[Target, ...]] = {
    "data": tuple(data.TARGETS),
    "language": tuple(language.TARGETS),
    "models": tuple(models.TARGETS),
    "texts": tuple(texts.TARGETS),
}
ALL: Mapping[str, Target] = {target.name: target for targets in GROUPS.values() for target in targets}
