"""Checking the versions that a training begins with, or learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.models.registry import Models
from longshore.shared.ledger.records import VersionRecord
from longshore.shared.references import ModelReference
from longshore.shared.specs.signature import UNFITTED, Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import RuntimeName

#: The options that name a version.
NAMING = ("base", "teacher")


def find_versions(spec: TrainSpec, models: Models) -> dict[str, VersionRecord]:
    """Resolve ``base`` and ``teacher`` to versions, by option name.

    :raises UnknownModel: there is no such version.
    :raises InvalidInput: no training can use the version, or an option applies only with a teacher.
    """
    versions = {}
    for option in NAMING:
        reference = getattr(spec, option)
        if reference is None:
            continue
        version = models.resolve(ModelReference.parse(reference), option)
        runtime = version.manifest.get("runtime", RuntimeName.FAMILY)
        if runtime != RuntimeName.FAMILY:
            raise InvalidInput(option, f"{reference} runs by {runtime}; a version that was trained here is needed")
        versions[option] = version
    if spec.teacher is None:
        for option, default in (("temperature", 2.0), ("mix", 0.5)):
            if getattr(spec, option) != default:
                raise InvalidInput(option, f"{getattr(spec, option)}: there is no teacher; give one, or leave this out")
    base = versions.get("base")
    if base is not None and base.manifest["family"] != spec.family:
        raise InvalidInput("family", f"{spec.base} is of family {base.manifest['family']!r}, not {spec.family!r}")
    return versions


def with_versions(spec: TrainSpec, versions: Mapping[str, VersionRecord]) -> TrainSpec:
    """The spec with the digests of the versions; its configuration defaults to that of ``base``."""
    changes: dict[str, object] = {f"{option}_digest": version.digest for option, version in versions.items()}
    base = versions.get("base")
    known = None if base is None else base.manifest.get("config")
    if isinstance(known, dict):
        changes["config"] = {**known, **spec.config}
    return spec.model_copy(update=changes)


def names_of_versions(
    spec: TrainSpec, versions: Mapping[str, VersionRecord], features: Sequence[Feature], columns: Sequence[str]
) -> tuple[str, ...] | None:
    """The columns to predict from, in the order of the version that a training begins with, or learns from.

    Such a version can read columns that no training takes by default, such as an index of pandas, or can have left out
    some of the same table, such as identifiers.

    :param features: the features by default.
    :param columns: all columns of the data.
    :returns: ``None`` if the features by default stand: they are named, or the version does not have all of them.
    """
    if spec.features is not None or not versions:
        return None
    signature = Signature.model_validate(next(iter(versions.values())).manifest["signature"])
    names = tuple(feature.name for feature in signature.features)
    default = tuple(feature.name for feature in features)
    free = set(columns) - {spec.target, spec.split}
    fewer = signature.is_preprocessed or set(default) <= set(names)
    return names if names != default and fewer and set(names) <= free else None


def check_versions(spec: TrainSpec, versions: Mapping[str, VersionRecord], features: Sequence[Feature]) -> None:
    """Whether the rows are such as the versions take.

    :raises InvalidInput: no; names the option.
    """
    named = [name for name, how in (spec.preprocess or {}).items() if how.kind != "drop"]
    for option, version in versions.items():
        if named:
            raise InvalidInput(
                "preprocess",
                f"column {named[0]!r} is preprocessed as {getattr(spec, option)} does, which is the {option}; leave it "
                "out, or drop columns only",
            )
        signature = Signature.model_validate(version.manifest["signature"])
        if len(features) != len(signature.features) or not all(map(_fits, features, signature.features)):
            expected = ", ".join(feature.described for feature in signature.features)
            actual = ", ".join(feature.described for feature in features)
            raise InvalidInput(option, f"{getattr(spec, option)} takes {expected}; the data has {actual}")


def _fits(feature: Feature, known: Feature) -> bool:
    """Whether a column of the data can be a feature of a version, with its offset and its transform."""
    if feature.kind in UNFITTED or known.transform is not None:
        return feature.name == known.name and known.transform is not None and feature.width is None
    return feature.column == known.column
