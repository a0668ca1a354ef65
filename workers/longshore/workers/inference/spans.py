"""Turns the scores of the tokens of texts into labelled spans, as transformers' ``TokenClassificationPipeline`` does.

https://huggingface.co/docs/transformers/main_classes/pipelines#transformers.TokenClassificationPipeline
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from longshore.shared.vocabulary import Aggregation
from longshore.workers.inference.row_heads import HeadArrays
from longshore.workers.runtimes.base import PreparedRows
from longshore.workers.runtimes.tokens import TokenPlaces, Tokens

Floats: TypeAlias = npt.NDArray[np.float32]
Indexes: TypeAlias = npt.NDArray[np.int64]
#: The label of tokens outside of every span.
OUTSIDE = "O"
_SPANS = pa.list_(
    pa.struct(
        [
            ("label", pa.string()),
            ("start", pa.int64()),
            ("end", pa.int64()),
            ("score", pa.float32()),
            ("text", pa.string()),
        ]
    )
)


@dataclass(frozen=True)
class LabelledSpan:
    """A part of a text, in characters, with its label."""

    label: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class SpanHead:
    """Token classification: ``spans``. A version has no other outputs beside them."""

    labels: tuple[str, ...]
    aggregation: Aggregation

    def reduce(self, raw: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """The probabilities of the labels of each token, float32 ``(k, longest, labels)``."""
        return [(raw.float().softmax(dim=2),)]

    def columns(self, by_head: Sequence[HeadArrays], prepared: PreparedRows) -> pa.StructArray:
        """The spans of n rows as one struct, ``(n,)``."""
        if not isinstance(prepared, Tokens) or prepared.places is None:
            raise TypeError(f"{type(prepared).__name__} has no places of tokens")
        scores = by_head[0][0].astype(np.float32, copy=False)
        rows = [
            self._spans_of_row(scores[row, :length], prepared.places, int(start), prepared.places.texts[row])
            for row, (start, length) in enumerate(zip(prepared.starts, prepared.lengths, strict=True))
        ]
        return pa.StructArray.from_arrays([pa.array(rows, _SPANS)], ["spans"])

    def _spans_of_row(
        self, scores: Floats, places: TokenPlaces, first: int, text: str
    ) -> list[dict[str, str | int | float | None]]:
        """The spans of one text.

        :param scores: of its tokens, ``(tokens, labels)``.
        :param first: the index of its first token in the window.
        """
        tokens = np.flatnonzero(~places.special[first : first + len(scores)])
        scores, tokens = scores[tokens], tokens + first
        starts, ends = places.starts[tokens], places.ends[tokens]
        if self.aggregation not in ("none", "simple") and len(tokens):
            begins = ~places.subwords[tokens]
            begins[0] = True
            firsts = np.flatnonzero(begins)
            stops = np.append(firsts[1:], len(tokens))
            scores = self._scores_of_words(scores, firsts, stops)
            starts, ends = starts[firsts], ends[stops - 1]
        best = scores.argmax(axis=1)
        highest = scores[np.arange(len(scores)), best]
        found = [
            LabelledSpan(self.labels[label], start, end, score)
            for label, start, end, score in zip(
                best.tolist(), starts.tolist(), ends.tolist(), highest.tolist(), strict=True
            )
        ]
        spans = found if self.aggregation == "none" else [_join(group) for group in _groups(found)]
        return [
            {
                "label": span.label,
                "start": span.start,
                "end": span.end,
                "score": span.score if isfinite(span.score) else None,
                # Postgres does not store NUL.
                "text": text[span.start : span.end].replace("\0", "\ufffd"),
            }
            for span in spans
            if span.label != OUTSIDE
        ]

    def _scores_of_words(self, scores: Floats, firsts: Indexes, stops: Indexes) -> Floats:
        """The scores of the labels of each word, ``(words, labels)``.

        :param scores: those of the tokens.
        :param firsts: the index of the first token of each word.
        :param stops: the index after its last one.
        """
        if self.aggregation == "first":
            return scores[firsts]
        if self.aggregation == "average":
            sums = np.add.reduceat(scores, firsts, axis=0)
            return np.asarray(sums / (stops - firsts)[:, None], np.float32)
        highest = scores.max(axis=1)
        words = zip(firsts.tolist(), stops.tolist(), strict=True)
        return scores[[first + int(highest[first:stop].argmax()) for first, stop in words]]


def _groups(spans: Sequence[LabelledSpan]) -> Iterator[list[LabelledSpan]]:
    """Spans that follow each other with the same label. A label ``B-...`` begins a new group."""
    group: list[LabelledSpan] = []
    for span in spans:
        begins, tag = _tag(span.label)
        if group and (begins or tag != _tag(group[-1].label)[1]):
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def _tag(label: str) -> tuple[bool, str]:
    """Whether a label begins a span, and what it is without a prefix for the place in a span."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label


def _join(group: Sequence[LabelledSpan]) -> LabelledSpan:
    numbers = [span.score for span in group if isfinite(span.score)]
    score = sum(numbers) / len(numbers) if numbers else nan
    return LabelledSpan(group[0].label.split("-", 1)[-1], group[0].start, group[-1].end, score)
