"""Checking the versions that a training begins with, or learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.models.registry import Models
from longshore.shared.ledger.records import VersionRecord
from longshore.shared.references import ModelReference
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.train import TrainSpec

#: The options that name a version.
NAMING = ("base", "teacher")


def find_versions(spec: TrainSpec, models: Models) -> dict[str, VersionRecord]:
    """What the options mean now, by the name of the option.

    :raises UnknownModel: there is no such version. :raises InvalidInput: no training can use it, or an option is given
        that goes with none.
    """
    found = {}
    for option in NAMING:
        reference = getattr(spec, option)
        if reference is None:
            continue
        version = models.resolve(ModelReference.parse(reference), option)
        runtime = version.manifest.get("runtime", "family")
        if runtime != "family":
            raise InvalidInput(option, f"{reference} runs by {runtime}; a version that was trained here is needed")
        found[option] = version
    if spec.teacher is None:
        for option, default in (("temperature", 2.0), ("mix", 0.5)):
            if getattr(spec, option) != default:
                raise InvalidInput(option, f"{getattr(spec, option)}: there is no teacher; give one, or leave this out")
    base = found.get("base")
    if base is not None and base.manifest["family"] != spec.family:
        raise InvalidInput("family", f"{spec.base} is of family {base.manifest['family']!r}, not {spec.family!r}")
    return found


def with_versions(spec: TrainSpec, versions: Mapping[str, VersionRecord]) -> TrainSpec:
    """The spec with their digests, and with the configuration of its base where it gives none of its own."""
    changes: dict[str, object] = {f"{option}_digest": version.digest for option, version in versions.items()}
    base = versions.get("base")
    known = None if base is None else base.manifest.get("config")
    if isinstance(known, dict):
        changes["config"] = {**known, **spec.config}
    return spec.model_copy(update=changes)


def check_versions(spec: TrainSpec, versions: Mapping[str, VersionRecord], features: Sequence[Feature]) -> None:
    """Whether the rows are such as the versions take.

    :raises InvalidInput: no; names the option.
    """
    for option, version in versions.items():
        signature = Signature.model_validate(version.manifest["signature"])
        if tuple(features) != signature.features:
            wanted = ", ".join(_described(feature) for feature in signature.features)
            given = ", ".join(_described(feature) for feature in features)
            raise InvalidInput(option, f"{getattr(spec, option)} takes {wanted}; the data has {given}")


def _described(feature: Feature) -> str:
    return feature.name if feature.width is None else f"{feature.name} ({feature.width})"
