"""Notes on the texts of a training, for the owner of its job."""

from __future__ import annotations

from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.language.block_rows import BlockRows
from longshore.workers.train.language.pair_rows import PairRows
from longshore.workers.train.language.token_store import TokenizedTexts

#: Below so many tokens for each parameter, a model that begins at random learns its texts by heart, or little.
#: Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, https://arxiv.org/abs/2203.15556, find 20.
_FEW_TOKENS = 1.0


def block_notes(spec: TrainSpec, rows: BlockRows, context: int, parameters: int) -> tuple[str, ...]:
    """Sentences on the rows to train on.

    :param context: tokens of a block.
    :param parameters: those of the network.
    """
    learned, blocks = rows.learned, rows.blocks
    positions = int(blocks.lengths.sum())
    notes = [
        f"an epoch learns {learned:,} tokens of {rows.texts.documents - blocks.left_out:,} texts, in {blocks.count:,} "
        f"blocks of at most {context} tokens that are filled to {positions / (blocks.count * context):.0%}"
    ]
    if blocks.cut:
        notes.append(
            f"{blocks.cut:,} texts have more than {context} tokens and were cut; a larger config.context helps"
        )
    if blocks.left_out:
        notes.append(
            f"{blocks.left_out:,} texts were left out, because none of their first {context} tokens is learned"
        )
    notes += _answer_notes(rows.texts)
    seen = learned * spec.epochs
    if spec.base is None and seen < _FEW_TOKENS * parameters:
        notes.append(
            f"{seen:,} tokens in {spec.epochs} epochs are few for {parameters:,} parameters: about 20 for each are "
            "usual; use more texts or a smaller network, or begin with a version (base)"
        )
    return tuple(notes)


def pair_notes(rows: PairRows) -> tuple[str, ...]:
    """Sentences on the rows of preferences to train on."""
    lengths = rows.texts.lengths - 1
    notes = [f"an epoch compares {rows.count:,} pairs of answers of at most {int(lengths.max()):,} tokens with prompts"]
    if equal := rows.equal:
        notes.append(f"{equal:,} pairs have two equal answers, from which nothing is learned")
    return (*notes, *_answer_notes(rows.texts))


def _answer_notes(texts: TokenizedTexts) -> list[str]:
    notes = []
    if texts.empty:
        notes.append(
            f"{texts.empty:,} answers are empty, so that only their ends count; remove rows that lack an answer"
        )
    if texts.unanswered:
        notes.append(f"{texts.unanswered:,} conversations end with messages that no answer follows; these are left out")
    return notes
