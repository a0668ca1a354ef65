"""What a training of a language model learns: the next tokens of texts, or which of two answers is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.train.metrics import default_metrics
from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.batches import TrainingRows
from longshore.workers.train.data.stream.splitting import TEST, TRAIN, VALIDATION
from longshore.workers.train.language.block_rows import BlockRows
from longshore.workers.train.language.network import CausalNetwork
from longshore.workers.train.language.notes import block_notes, pair_notes
from longshore.workers.train.language.objective import PerplexityEvaluator, TokenLoss
from longshore.workers.train.language.packing import pack
from longshore.workers.train.language.pair_rows import PairRows
from longshore.workers.train.language.preference import PreferenceEvaluator, PreferenceLoss
from longshore.workers.train.language.token_store import TokenizedTexts
from longshore.workers.train.loop.loop import Evaluator, Evaluators
from longshore.workers.train.loop.precision import Precision
from longshore.workers.train.objective.losses import Loss


@dataclass(frozen=True)
class Objective:
    """Rows, and what is computed of them."""

    rows: TrainingRows
    loss: Loss
    evaluators: Evaluators
    #: Measures the final weights; ``None`` if there are no rows for it.
    test: Evaluator | None
    #: Sentences for the owner of the job.
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Fill:
    """How documents become batches."""

    #: Tokens of a block.
    context: int
    #: Put several documents into a block.
    packing: bool
    #: The id that fills a block up.
    pad: int
    device: torch.device


def next_tokens(spec: TrainSpec, texts: Mapping[int, TokenizedTexts], fill: Fill, network: CausalNetwork) -> Objective:
    """Learn the next tokens of texts.

    :raises InvalidInput: rows have no token that can be learned.
    """
    rows: dict[int, BlockRows] = {}
    for part, each in texts.items():
        blocks = BlockRows(each, pack(each, fill.context, packing=fill.packing), fill.device, spec.seed, fill.pad)
        if blocks.count:
            rows[part] = blocks
        elif part == TRAIN or each.documents:
            raise InvalidInput(FIELDS[part], _why_nothing(each, fill.context))
    train = rows[TRAIN]
    measured = {
        part: PerplexityEvaluator(rows[part], spec.batch_size, prefix) for part, prefix in _HELD_OUT if part in rows
    }
    return Objective(
        rows=train,
        loss=TokenLoss(train.learned / train.count),
        evaluators=Evaluators(validation=measured.get(VALIDATION)),
        test=measured.get(TEST),
        notes=block_notes(spec, train, fill.context, sum(each.numel() for each in network.parameters())),
    )


def preferences(
    spec: TrainSpec, texts: Mapping[int, TokenizedTexts], fill: Fill, network: CausalNetwork, check: Check
) -> Objective:
    """Learn which of two answers is better.

    :param network: as the training begins: it is the reference model. An adapter changes nothing yet.
    :raises InvalidInput: there are no rows.
    """
    precision = Precision(spec.precision, fill.device)
    loss, names = PreferenceLoss.of(spec), spec.metrics or default_metrics("preference")
    rows: dict[int, PairRows] = {}
    for part, each in texts.items():
        if each.documents:
            pairs = PairRows(each, fill.device, spec.seed, fill.pad)
            rows[part] = pairs.with_reference(network, spec.batch_size, precision, check)
        elif part == TRAIN:
            raise InvalidInput(FIELDS[part], "has no rows to train on; give more")
    measured = {
        part: PreferenceEvaluator(rows[part], loss, spec.batch_size, prefix, names, precision)
        for part, prefix in ((TRAIN, "train_"), *_HELD_OUT)
        if part in rows
    }
    return Objective(
        rows=rows[TRAIN],
        loss=loss,
        evaluators=Evaluators(
            validation=measured.get(VALIDATION), train=measured[TRAIN] if spec.train_metrics else None
        ),
        test=measured.get(TEST),
        notes=pair_notes(rows[TRAIN]),
    )


def _why_nothing(texts: TokenizedTexts, context: int) -> str:
    """Why no token of these texts is learned."""
    if texts.learned is not None and texts.learned.any():
        return f"the prompts of its rows fill config.context, {context}; give a larger one, or shorter prompts"
    return "no token can be learned from its rows; give longer texts"


#: The argument that brings the rows of a split.
FIELDS = {TRAIN: "data", VALIDATION: "validation", TEST: "test"}
_HELD_OUT = ((VALIDATION, "val_"), (TEST, "test_"))
