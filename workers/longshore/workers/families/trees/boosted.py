"""Boosted trees as a module: from the rows of Longshore to outputs, computed by LightGBM on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from longshore.shared.errors import CorruptBlob, InvalidInput, MissingBlob, ServiceUnavailable
from longshore.shared.outages import is_outage
from longshore.shared.specs.signature import Signature
from longshore.workers.families.trees.columns import Floats, TreeColumns
from longshore.workers.families.trees.library import library, thread_count
from longshore.workers.families.trees.model_text import MAX_CHARS, TreeModel, parse_model

if TYPE_CHECKING:
    from lightgbm import Booster

Doubles = npt.NDArray[np.float64]


class BoostedTrees(nn.Module):
    """Rows, float32 ``(n, width)``, to outputs, float64 ``(n, outputs)``: a logit for each class, or a value.

    Of two classes, the logit of the first is 0. It has no parameters.

    :param signature: with a single class or number as its target.
    """

    def __init__(self, model: TreeModel, signature: Signature) -> None:
        super().__init__()
        self.model = model
        self.columns = TreeColumns.of(signature.features)
        self._binary = objective_of(signature)[0].startswith("binary")
        text = model.text()
        #: Bytes of memory, about: the text is kept, and so are its numbers by the library.
        self.nbytes = 2 * len(text)
        self._booster = load_booster(text)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """See the class."""
        scores = raw_scores(self._booster, self.columns.matrix(rows.cpu().contiguous().numpy()))
        return outputs_of(scores, self._binary).to(rows.device)

    def save(self, path: Path) -> None:
        """Write the model in LightGBM's text format.

        :raises ServiceUnavailable: the file cannot be written.
        """
        try:
            path.write_bytes(self.model.text().encode())
        except OSError as error:
            raise ServiceUnavailable(f"cannot write the model to {path}: {error}; is the disk full?") from error


def read_trees(path: Path, signature: Signature) -> BoostedTrees:
    """Read a model in LightGBM's text format. The file is not trusted.

    :raises CorruptBlob: the file is missing or damaged, or does not fit the signature.
    :raises ServiceUnavailable: its file system cannot be reached.
    :raises InvalidInput: LightGBM is not installed, or the signature has columns that trees do not read.
    """
    objective, outputs = objective_of(signature)
    columns = TreeColumns.of(signature.features)
    try:
        if path.stat().st_size > MAX_CHARS:
            raise CorruptBlob(f"{path} has {path.stat().st_size} bytes; {MAX_CHARS} is the most that is read")
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise MissingBlob(f"{path} cannot be read as a model of LightGBM: {error}") from error
    except UnicodeDecodeError as error:
        raise CorruptBlob(f"{path} cannot be read as a model of LightGBM: it is no text in UTF-8") from error
    except OSError as error:
        if is_outage(error):
            raise ServiceUnavailable(f"{path} cannot be read: {error}") from error
        raise CorruptBlob(f"{path} cannot be read as a model of LightGBM: {error}") from error
    try:
        model = parse_model(text, len(columns.names), objective, outputs)
    except CorruptBlob as error:
        raise CorruptBlob(f"{path} cannot be read as a model of LightGBM: {error}") from None
    return BoostedTrees(model, signature)


def objective_of(signature: Signature) -> tuple[str, int]:
    """The objective for a signature, as LightGBM writes it, and the trees of a round.

    :raises InvalidInput: trees do not predict its target.
    """
    if signature.task == "classification" and signature.labels is not None:
        classes = len(signature.labels)
        return ("binary sigmoid:1", 1) if classes == 2 else (f"multiclass num_class:{classes}", classes)
    if signature.task == "regression" and signature.target_width is None and signature.activation is None:
        return "regression", 1
    what = "several numbers a row" if signature.task == "regression" else signature.task
    raise InvalidInput(
        "target", f"column {signature.target!r}: trees predict one class or one number, not {what}; use mlp"
    )


def load_booster(text: str) -> Booster:
    """Load a checked model into the library."""
    booster: Booster = library().Booster(model_str=text)
    return booster


def raw_scores(booster: Booster, matrix: Floats, start: int = 0, rounds: int | None = None) -> Doubles:
    """The sums of the trees' values, ``(n, trees of a round)``.

    :param matrix: columns as :meth:`TreeColumns.matrix` makes them.
    :param start: the first round.
    :param rounds: how many; default: all.
    """
    if not len(matrix):
        return np.zeros((0, booster.num_model_per_iteration()))
    scores = booster.predict(
        matrix,
        start_iteration=start,
        num_iteration=-1 if rounds is None else rounds,
        raw_score=True,
        num_threads=thread_count(matrix.size),
    )
    return np.asarray(scores, np.float64).reshape(len(matrix), -1)


def outputs_of(scores: Doubles, binary: bool) -> torch.Tensor:
    """The outputs of a family: two logits for the score of two classes, otherwise the scores."""
    outputs = torch.from_numpy(scores)
    return torch.cat([torch.zeros_like(outputs), outputs], dim=1) if binary else outputs
