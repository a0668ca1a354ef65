"""Turns the outputs of a network into the columns of a row's output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from longshore.shared.specs.jobs import InferSpec
from longshore.shared.specs.positive import PROBABILITY, PositiveClass
from longshore.shared.specs.signature import OutputKind, Signature
from longshore.workers.inference.row_heads import HeadArrays, RowHeads
from longshore.workers.inference.spans import SpanHead
from longshore.workers.metrics.predictions import apply_threshold, class_scores, decided_classes
from longshore.workers.runtimes.base import PreparedRows

Floats: TypeAlias = npt.NDArray[np.float32]
#: The function that turns the outputs of a network into values; ``None``: they are the values.
Activation: TypeAlias = Literal["sigmoid"] | None


class Head(Protocol):
    """Postprocessing, in two steps: on the device, batch by batch; and on the CPU, a window at a time."""

    def reduce(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Reduce the network's ``(k, outputs)`` to the tensors of k rows that are worth copying from the device."""

    def columns(self, arrays: HeadArrays) -> dict[str, pa.Array]:
        """The columns of n rows, from the reduced tensors. A number that is not finite is null."""


@dataclass(frozen=True)
class ClassHead:
    """Classification: ``label`` and ``score``, its probability; with ``top_k`` also the k most probable; with
    ``positive`` the probability of that class, whose threshold decides the label.

    If the version gives scores that are not probabilities, ``score`` is the one of the label.
    """

    #: Arrow values by output index.
    labels: pa.Array
    top_k: int | None
    #: What the outputs are, as :meth:`Runtime.forward` puts them out.
    kind: OutputKind = "logits"
    positive: PositiveClass | None = None

    def reduce(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Score float32 and class int64, ``(k,)``; then with ``top_k`` the same, ``(k, top_k)``, most probable first;
        then with ``positive`` its probability float32, ``(k,)``.

        Logits decide, not scores: scores can be equal where logits are not.
        """
        logits = raw[:, : len(self.labels)]
        scores = class_scores(logits, self.kind)
        decided = apply_threshold(decided_classes(raw, len(self.labels)), scores, self.positive)
        reduced = [scores.gather(1, decided[:, None])[:, 0], decided]
        if self.top_k is not None:
            classes = logits.topk(min(self.top_k, len(self.labels)), dim=1).indices
            reduced += [scores.gather(1, classes), classes]
        return (*reduced, *(() if self.positive is None else (scores[:, self.positive.index],)))

    def columns(self, arrays: HeadArrays) -> dict[str, pa.Array]:
        """See :meth:`Head.columns`."""
        columns = self._named(arrays[0], arrays[1])
        if self.positive is not None:
            columns[PROBABILITY] = _numbers(arrays[-1])
        if self.top_k is not None:
            scores, classes = arrays[2:4]
            each = self._named(scores.reshape(-1), classes.reshape(-1))
            labels = each["label"].cast(self.labels.type)
            pairs = pa.StructArray.from_arrays([labels, each["score"]], ["label", "score"])
            columns["top_k"] = _lists(pairs, scores.shape)
        return columns

    def _named(self, scores: npt.NDArray[np.generic], classes: npt.NDArray[np.generic]) -> dict[str, pa.Array]:
        finite = np.isfinite(scores.astype(np.float32, copy=False))
        indices = pa.array(classes.astype(np.int32), mask=None if finite.all() else ~finite)
        return {"label": pa.DictionaryArray.from_arrays(indices, self.labels), "score": _numbers(scores)}


@dataclass(frozen=True)
class LabelsHead:
    """Multilabel: ``labels`` and ``scores``, those that are probable enough, most probable first.

    A score is the sigmoid of the label's logit; with ``top_k`` also the k most probable, whatever their scores.
    """

    #: Arrow values by output index.
    labels: pa.Array
    #: A label is part of the output from this probability on.
    threshold: float
    top_k: int | None

    def reduce(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Scores float32 and label numbers int32, both ``(k, labels)``, most probable first; ties in label order."""
        scores, order = torch.sigmoid(raw.float()).sort(dim=1, descending=True, stable=True)
        return scores, order.to(torch.int32)

    def columns(self, arrays: HeadArrays) -> dict[str, pa.Array]:
        """See :meth:`Head.columns`. A score that is not finite selects no label, but counts for ``top_k``."""
        scores, order = (np.asarray(array) for array in arrays)
        selected = scores >= np.float32(self.threshold)
        offsets = pa.array(np.concatenate([[0], np.cumsum(selected.sum(axis=1))]).astype(np.int32))
        columns = {
            "labels": pa.ListArray.from_arrays(offsets, self.labels.take(pa.array(order[selected]))),
            "scores": pa.ListArray.from_arrays(offsets, _numbers(scores[selected])),
        }
        if self.top_k is not None:
            best, indexes = scores[:, : self.top_k], order[:, : self.top_k]
            finite = np.isfinite(best.reshape(-1))
            named = self.labels.take(pa.array(indexes.reshape(-1), mask=None if finite.all() else ~finite))
            pairs = pa.StructArray.from_arrays([named, _numbers(best.reshape(-1))], ["label", "score"])
            columns["top_k"] = _lists(pairs, best.shape)
        return columns


@dataclass(frozen=True)
class ValueHead:
    """Regression: ``value``."""

    activation: Activation = None

    def reduce(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Float32, or float64 if the version computes it, ``(k,)``."""
        return (_activated(_single(raw[:, 0]), self.activation),)

    def columns(self, arrays: HeadArrays) -> dict[str, pa.Array]:
        """See :meth:`Head.columns`."""
        return {"value": _numbers(arrays[0])}


@dataclass(frozen=True)
class VectorHead:
    """Numbers of a row, as a list: an embedding, logits, or the values of a regression of several numbers."""

    name: str
    activation: Activation = None
    #: How many: the first ones. ``None``: all.
    count: int | None = None

    def reduce(self, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Float32, or float64 if the version computes it, ``(k, count)``."""
        return (_activated(_single(raw[:, : self.count]), self.activation),)

    def columns(self, arrays: HeadArrays) -> dict[str, pa.Array]:
        """See :meth:`Head.columns`."""
        return {self.name: _lists(_numbers(arrays[0].reshape(-1)), arrays[0].shape)}


@dataclass(frozen=True)
class Heads:
    """Several heads over one output, each with columns of its own."""

    heads: tuple[Head, ...]
    #: Whether a row has its tokens, as ``usage``.
    counts_tokens: bool = False

    def reduce(self, raw: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """See :meth:`Head.reduce`, by head."""
        return [head.reduce(raw) for head in self.heads]

    def columns(self, by_head: Sequence[HeadArrays], prepared: PreparedRows) -> pa.StructArray:
        """See :meth:`RowHeads.columns`."""
        named: dict[str, pa.Array] = {}
        for head, arrays in zip(self.heads, by_head, strict=True):
            named |= head.columns(arrays)
        if self.counts_tokens and prepared.lengths is not None:
            named["usage"] = pa.StructArray.from_arrays([pa.array(prepared.lengths)], ["prompt_tokens"])
        return pa.StructArray.from_arrays(list(named.values()), list(named))


def make_heads(signature: Signature, spec: InferSpec) -> RowHeads:
    """The postprocessing that a job asks for; see :meth:`InferSpec.check`.

    :raises InvalidInput: the version does not have the outputs that the job asks for. A job in a chain is only checked
        here.
    """
    spec.check_outputs(signature)
    if signature.task == "tokens":
        return SpanHead(tuple(map(str, signature.labels or ())), spec.aggregation)
    heads: list[Head] = []
    if signature.task == "multilabel":
        heads.append(LabelsHead(label_values(signature.labels or ()), spec.threshold, spec.top_k))
    elif signature.labels is not None:
        kind = signature.output_kind or "logits"
        positive = spec.read_positive(signature)
        heads.append(ClassHead(label_values(signature.labels), spec.top_k, kind, positive))
    elif signature.task == "regression":
        activation = signature.activation
        heads.append(ValueHead(activation) if signature.target_width is None else VectorHead("value", activation))
    else:
        heads.append(VectorHead("embedding"))
    if spec.logits:
        heads.append(VectorHead("logits", count=signature.outputs))
    return Heads(tuple(heads), spec.counts_tokens)


def label_values(labels: Sequence[str | int | bool]) -> pa.Array:
    """Class names as Arrow values; as text if they are of several types or too large."""
    if len({type(label) for label in labels}) == 1:
        try:
            return pa.array(labels)
        except (OverflowError, pa.ArrowInvalid):
            pass
    return pa.array([str(label) for label in labels])


def all_finite(by_head: Sequence[HeadArrays]) -> npt.NDArray[np.bool_]:
    """Rows in which every number is finite, ``(n,)``."""
    flags = [
        np.isfinite(array).reshape(len(array), -1).all(axis=1)
        for arrays in by_head
        for array in arrays
        if array.dtype.kind == "f"
    ]
    finite: npt.NDArray[np.bool_] = np.logical_and.reduce(flags)
    return finite


def _activated(outputs: torch.Tensor, activation: Activation) -> torch.Tensor:
    return outputs.sigmoid() if activation == "sigmoid" else outputs


def _single(raw: torch.Tensor) -> torch.Tensor:
    """Float32; float64 as it is, which programs that take float64 put out."""
    return raw if raw.dtype == torch.float64 else raw.float()


def _numbers(values: npt.NDArray[np.generic]) -> pa.Array:
    numbers = pa.array(values if values.dtype == np.float64 else values.astype(np.float32, copy=False))
    finite = pc.is_finite(numbers)
    return numbers if pc.all(finite).as_py() is not False else pc.if_else(finite, numbers, None)


def _lists(values: pa.Array, shape: tuple[int, ...]) -> pa.Array:
    rows, width = shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32) if width else np.zeros(rows + 1, np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
