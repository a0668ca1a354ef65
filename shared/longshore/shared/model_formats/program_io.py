"""The input and output of an imported program, and whether they match a signature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Signature

Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a program."""

    name: str
    #: Whether it is a float32 tensor.
    is_float: bool
    #: Its dimensions, with ``None`` for a dynamic one; ``None`` as a whole if the file does not define a shape.
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sizes = "" if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name!r} ({sizes})"


@dataclass(frozen=True)
class ProgramIO:
    """The only input and the only output of a program."""

    input: TensorSpec
    output: TensorSpec
    #: Rows per run: 1, or ``None`` for any number.
    batch: int | None
    #: The shape of one input row; the product of its dimensions is the signature's width.
    row_shape: tuple[int, ...]
    #: The function at the end of the program that makes probabilities of logits.
    activation: Activation | None = None


def match_signature(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], signature: Signature, field: str
) -> ProgramIO:
    """Check that a program can be run for a signature, and return its input and output.

    :param field: names the program in an error.
    :raises InvalidInput: the program does not have one input and one output that match the signature.
    """
    if signature.is_text:
        raise InvalidInput(
            "signature.features", "a program takes numbers, but one of the features is a text; use numeric features"
        )
    source, output = _only(inputs, "input", field), _only(outputs, "output", field)
    if not source.shape:
        raise InvalidInput(field, f"input {source} has no shape; export it with one whose first dimension is the rows")
    batch, *rest = source.shape
    if batch not in (None, 1):
        raise InvalidInput(
            field,
            f"input {source} takes exactly {batch} rows at a time; export it with a dynamic batch size: "
            'dynamic_shapes=({0: torch.export.Dim("batch")},)',
        )
    row_shape = tuple(size for size in rest if size is not None)
    if len(row_shape) != len(rest):
        raise InvalidInput(field, f"input {source} must have a fixed size in every dimension but the first, the rows")
    if math.prod(row_shape) != signature.width:
        raise InvalidInput(
            field,
            f"input {source} takes {math.prod(row_shape)} numbers per row, but the signature's features give "
            f"{signature.width}; make them equal",
        )
    _check_output(output, signature, field)
    return ProgramIO(source, output, batch, row_shape)


def _check_output(output: TensorSpec, signature: Signature, field: str) -> None:
    """:raises InvalidInput: its shape, as far as it is known, does not match the signature."""
    width = signature.outputs
    if width is None:  # an embedding of any width
        if output.shape and len(output.shape) != 2:
            raise InvalidInput(field, f"output {output} must have the shape (rows, numbers) for an embedding")
        return
    fits = not output.shape or output.shape[1:] in ((width,), (None,)) or (width == 1 and len(output.shape) == 1)
    if not fits:
        raise InvalidInput(field, f"output {output} must have the shape (rows, {width}) to match the signature")


def _only(specs: Sequence[TensorSpec], role: str, field: str) -> TensorSpec:
    if len(specs) != 1:
        names = ", ".join(repr(spec.name) for spec in specs) or "none"
        raise InvalidInput(field, f"it must have one {role}, but has {names}")
    if not specs[0].is_float:
        raise InvalidInput(field, f"{role} {specs[0].name!r} must be a float32 tensor; export it as one")
    return specs[0]
