"""What the outputs of a program are: logits, probabilities or other scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.program_io import Ending
from longshore.shared.specs.signature import OutputKind, Signature

#: The smallest probability whose logarithm is finite in float32.
_SMALLEST = torch.finfo(torch.float32).tiny
#: Between 1 and the largest probability below it, in float32.
_EPSILON = 2.0**-24
#: How far the sum of the probabilities of a row may be from 1: programs in 16 bits round.
_TOLERANCE = 5e-3


@dataclass(frozen=True)
class ResolvedKind:
    """What the outputs of a program are taken for."""

    #: ``None`` for a regression or an embedding.
    kind: OutputKind | None
    #: Remarks for the owner of a job.
    notes: tuple[str, ...] = ()


def resolve_kind(
    signature: Signature, ending: Ending | None, outputs: Sequence[torch.Tensor], *, has_label: bool
) -> ResolvedKind:
    """Compare what a signature says of the outputs with outputs for trial rows; if it says nothing, decide by these.

    :param outputs: ``(n, outputs)`` each.
    :param has_label: whether the program has an output with the predicted label, as classifiers of scikit-learn do.
    :raises InvalidInput: the signature says that the outputs are probabilities, and they are not.
    """
    if signature.labels is None:
        return ResolvedKind(None)
    probable = _are_probabilities(outputs, signature)
    if signature.output_kind is not None:
        if signature.output_kind == "probabilities" and probable is False:
            raise InvalidInput(
                "model",
                "its signature says that its outputs are probabilities, but those of trial rows are not "
                f"{'between 0 and 1' if signature.task == 'multilabel' else 'between 0 and 1 with the sum 1'}; import "
                "it with the output kind logits or scores",
            )
        return ResolvedKind(signature.output_kind)
    other = {"classification": "sigmoid", "multilabel": "softmax"}[signature.task]
    if ending == other and not _are_single(outputs, signature):
        return ResolvedKind(
            "logits",
            (
                f"the program ends in a {ending}, which does not fit the task {signature.task}; scores are computed "
                "from its outputs as if they were logits",
            ),
        )
    if signature.task == "multilabel":
        note = "the outputs of the program for trial rows lie between 0 and 1, and are taken for logits; if they are "
        note += "probabilities, import it with the output kind probabilities"
        return ResolvedKind("logits", (note,) if probable else ())
    if probable:
        note = "the outputs of the program for trial rows are probabilities, and are taken for them; if they are not, "
        return ResolvedKind("probabilities", (f"{note}import it with the output kind logits or scores",))
    if has_label and probable is False:
        note = "the program does not give probabilities; the score of a row is the output for its label, as it is"
        return ResolvedKind("scores", (note,))
    return ResolvedKind("logits")


def to_logits(outputs: torch.Tensor, kind: OutputKind | None, signature: Signature) -> torch.Tensor:
    """The outputs as a runtime puts them out: the logits of probabilities, and other outputs unchanged.

    If there is one number for two labels, it is that of the second, and the first gets what makes a classifier of it.

    :param outputs: ``(n, outputs)``.
    """
    if signature.task == "classification" and signature.outputs == 2 and outputs.shape[1] == 1:
        first = {"probabilities": 1 - outputs, "scores": -outputs}.get(kind or "logits", torch.zeros_like(outputs))
        outputs = torch.cat([first, outputs], dim=1)
    if kind != "probabilities":
        return outputs
    if signature.task == "classification":
        return outputs.float().clamp_min(_SMALLEST).log()
    chances = outputs.double().clamp(_SMALLEST, 1 - _EPSILON)
    return (chances.log() - (-chances).log1p()).float()


def _are_probabilities(outputs: Sequence[torch.Tensor], signature: Signature) -> bool | None:
    """Whether all outputs are probabilities as the task has them; ``None`` if there are no finite outputs."""
    rows = [each[each.isfinite().all(dim=1)].double() for each in outputs]
    rows = [each for each in rows if len(each)]
    if not rows:
        return None
    every = torch.cat(rows)
    within = bool(((every > -_TOLERANCE) & (every < 1 + _TOLERANCE)).all())
    if signature.task == "multilabel" or _are_single(outputs, signature):
        return within
    return within and bool(((every.sum(dim=1) - 1).abs() < _TOLERANCE).all())


def _are_single(outputs: Sequence[torch.Tensor], signature: Signature) -> bool:
    """Whether there is one number for two labels."""
    single = signature.task == "classification" and signature.outputs == 2
    return single and all(each.shape[1] == 1 for each in outputs)
