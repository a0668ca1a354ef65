"""From what the target means to the signature of the version that is trained on it."""

from __future__ import annotations

from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.targets import Coding, Targets


def make_signature(spec: TrainSpec, features: tuple[Feature, ...], target: Coding | Targets) -> Signature:
    """What the version reads and gives. Of an embedding the classes are gone: its vectors tell others apart, too."""
    embedding = target.task == "embedding"
    return Signature(
        features=features,
        task=target.task,
        target=spec.target,
        labels=None if embedding else target.labels,
        target_width=target.width,
        embedding_width=spec.embedding_width if embedding else None,
    )
