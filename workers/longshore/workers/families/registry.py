"""Finds families by name: built-in families and those of packages installed on this worker."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import FAMILY_GROUP
from longshore.workers.families.base import Family
from longshore.workers.families.cnn import CNN
from longshore.workers.families.language import LANGUAGE_FAMILIES
from longshore.workers.families.linear import LINEAR
from longshore.workers.families.mlp import MLP
from longshore.workers.families.rnn import RNN
from longshore.workers.families.transformer import TRANSFORMER
from longshore.workers.families.trees.family import LIGHTGBM, TreeFamily

_FAMILIES: tuple[Family, ...] = (LINEAR, MLP, CNN, RNN, TRANSFORMER, LIGHTGBM, *LANGUAGE_FAMILIES)
_BUILT_IN: dict[str, Family] = {family.name: family for family in _FAMILIES}


def get_family(name: str) -> Family:
    """Find a family. A built-in name always means the built-in family.

    :raises InvalidInput: this worker has no family of this name, or its package cannot be loaded.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    installed = entry_points(group=FAMILY_GROUP)
    if name in installed.names:
        return _load(installed[name])
    known = ", ".join(sorted({*_BUILT_IN, *installed.names}))
    raise InvalidInput("family", f"{name!r} is not known on this worker; it has {known}")


def is_built_in(name: str) -> bool:
    """Whether it is a family of Longshore itself."""
    return name in _BUILT_IN


def is_trees(name: str) -> bool:
    """Whether it is a family that grows trees."""
    return isinstance(_BUILT_IN.get(name), TreeFamily)


def _load(entry: EntryPoint) -> Family:
    try:
        family = entry.load()
    except Exception as error:  # the package's own code runs here: it can raise anything
        raise InvalidInput(
            "family", f"{entry.name!r} ({entry.value}) cannot be loaded on this worker: {type(error).__name__}: {error}"
        ) from error
    if not (callable(getattr(family, "build", None)) and hasattr(family, "config") and hasattr(family, "name")):
        raise InvalidInput("family", f"{entry.name!r} ({entry.value}) has no name, config and build, so is no family")
    loaded: Family = family
    return loaded
