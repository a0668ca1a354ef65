"""Fine-tuning and distillation: a training starts from the weights of a version, or learns from a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.specs.train import TrainSpec
from longshore.shared.store.manifest import Manifest
from longshore.shared.store.store import Store
from longshore.workers.families.model import NETWORK, STANDARDIZE
from longshore.workers.families.standardize import Standardize
from longshore.workers.families.weights import read_weights
from longshore.workers.runtimes.family import build_module
from longshore.workers.train.objective.multilabel import binary_divergence

#: Names that an error or a note lists, at most; it counts the rest.
_SHOWN = 5


@dataclass(frozen=True)
class Pretrained:
    """The versions that a training uses; none by default."""

    #: Tensors of the base version, by name.
    base: Mapping[str, torch.Tensor] | None = None
    #: The teacher: a module from raw rows to outputs, in evaluation mode.
    teacher: nn.Module | None = None
    #: The inputs and outputs of the teacher.
    teacher_signature: Signature | None = None
    #: The content of a tokenizer for texts; ``None`` to train one.
    tokenizer: str | None = None
    #: The inputs and outputs of the base version.
    base_signature: Signature | None = None

    def standardize(self, width: int) -> Standardize | None:
        """The standardisation of the base, which gives its network the inputs it knows; ``None`` if it has none."""
        if self.base is None or f"{STANDARDIZE}.mean" not in self.base:
            return None
        return Standardize(self.base[f"{STANDARDIZE}.mean"], self.base[f"{STANDARDIZE}.std"])

    def features(self, features: Sequence[Feature]) -> tuple[Feature, ...] | None:
        """The same columns with the offsets and transforms of the base, whose weights follow them.

        Without a base, those of a teacher that has transforms, since it reads the same rows; otherwise ``None``.
        """
        signature = self.base_signature
        if self.base is None:
            teacher = self.teacher_signature
            signature = teacher if teacher is not None and teacher.is_preprocessed else None
            if signature is None:
                return None
        known = {} if signature is None else {each.name: each for each in signature.features}
        return tuple(known.get(feature.name, feature) for feature in features)

    def fill(self, network: nn.Module) -> tuple[str, ...]:
        """Load the base's weights into ``network`` where name and shape are the same.

        :returns: notes for the job's owner: the parts that are new.
        """
        if self.base is None:
            return ()
        own = network.state_dict()
        known = {
            name.removeprefix(f"{NETWORK}."): tensor
            for name, tensor in self.base.items()
            if name.startswith(f"{NETWORK}.")
        }
        fitting = {name: tensor for name, tensor in known.items() if name in own and own[name].shape == tensor.shape}
        network.load_state_dict(fitting, strict=False)
        fresh = [name for name in own if name not in fitting]
        return (f"not taken from the base, whose shapes differ: {_named(fresh)}",) if fresh else ()


def load_pretrained(spec: TrainSpec, store: Store) -> Pretrained:
    """Load the versions that ``spec`` names.

    :raises CorruptBlob: a version cannot be read.
    """
    base = base_signature = teacher = teacher_signature = tokenizer = None
    if spec.base_digest is not None:
        manifest = store.get_manifest(spec.base_digest)
        base, base_signature = read_weights(_weights(store, manifest)), manifest.signature
    if spec.teacher_digest is not None:
        manifest = store.get_manifest(spec.teacher_digest)
        teacher, teacher_signature = build_module(manifest, _weights(store, manifest)), manifest.signature
    if spec.tokenizer_digest is not None:
        blob = store.get_manifest(spec.tokenizer_digest).blobs.get(TOKENIZER_FILE)
        if blob is None:
            raise CorruptBlob(f"the manifest {spec.tokenizer_digest} names no tokenizer")
        tokenizer = store.read_blob(blob.digest).decode(errors="replace")
    return Pretrained(base, teacher, teacher_signature, tokenizer, base_signature)


def _weights(store: Store, manifest: Manifest) -> Path:
    if manifest.weights is None:
        raise CorruptBlob("the manifest of a family's version names no weights")
    return store.fetch_blob(manifest.weights)


def freeze(network: nn.Module, patterns: tuple[str, ...]) -> None:
    """Freeze the parameters whose names match a pattern.

    :raises InvalidInput: a pattern matches no parameter, or nothing is left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InvalidInput("freeze", f"{pattern!r} matches no parameter; there are {_named(names)}")
    for name, parameter in network.named_parameters():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InvalidInput("freeze", f"{', '.join(patterns)} leaves nothing to train")


class Distillation:
    """The loss of a network that learns from a teacher's outputs as well as from the targets.

    For classes it mixes the cross entropy of the targets with the Kullback-Leibler divergence of both distributions at
    a higher temperature. Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015,
    https://arxiv.org/abs/1503.02531. For multilabel it uses the divergence of each label's two outcomes. For regression
    it uses the squared error against the teacher's outputs.

    :param standardize: the standardisation of the rows; the teacher takes raw rows.
    """

    def __init__(
        self, spec: TrainSpec, pretrained: Pretrained, signature: Signature, standardize: Standardize | None
    ) -> None:
        assert pretrained.teacher is not None
        assert pretrained.teacher_signature is not None
        if (pretrained.teacher_signature.task, pretrained.teacher_signature.labels) != (
            signature.task,
            signature.labels,
        ):
            raise InvalidInput(
                "teacher", f"{spec.teacher} predicts other classes, or another kind of target, than this training"
            )
        own, taught = ([each.transform for each in side.features] for side in (signature, pretrained.teacher_signature))
        if own != taught:
            raise InvalidInput(
                "teacher",
                f"{spec.teacher} preprocesses its columns otherwise than this training, so that it would read other "
                "values; train without base, with rows and a preprocess that need what the teacher does",
            )
        self._teacher = pretrained.teacher.requires_grad_(False)
        self._temperature, self._mix = spec.temperature, spec.mix
        self._task = signature.task
        self._standardize = standardize
        self._shift = _shift(signature, pretrained.teacher_signature)

    def loss(self, inputs: torch.Tensor, outputs: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """The mixed loss.

        :param inputs: rows as the network takes them.
        :param outputs: the network's outputs for these rows.
        :param own: the network's mean loss against the targets.
        """
        with torch.no_grad():
            raw = inputs if self._standardize is None else inputs * self._standardize.std + self._standardize.mean
            taught = self._teacher(raw if self._shift is None else raw + self._shift.to(raw.device))
        if self._task == "regression":
            return (1 - self._mix) * own + self._mix * functional.mse_loss(outputs, taught)
        at = self._temperature
        if self._task == "multilabel":
            return (1 - self._mix) * own + self._mix * at * at * binary_divergence(outputs, taught, at)
        divergence = functional.kl_div(
            *(functional.log_softmax(outputs / at, 1), functional.log_softmax(taught / at, 1)),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - self._mix) * own + self._mix * at * at * divergence


def _shift(own: Signature, teacher: Signature) -> torch.Tensor | None:
    """What the teacher's rows have more than those of this training, float32 ``(width,)``; ``None`` for nothing."""
    offsets = [signature.offsets or (0.0,) * signature.width for signature in (own, teacher)]
    if offsets[0] == offsets[1] or own.width != teacher.width:
        return None
    return (torch.tensor(offsets[0], dtype=torch.float64) - torch.tensor(offsets[1], dtype=torch.float64)).float()


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
