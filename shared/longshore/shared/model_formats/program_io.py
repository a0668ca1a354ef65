"""What a program from elsewhere takes and gives, and whether that is what a signature says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Signature


@dataclass(frozen=True)
class Port:
    """One input or output."""

    name: str
    #: Whether it is a tensor of float32.
    is_float: bool
    #: Its dimensions, ``None`` for one of any size; ``None`` as a whole where the file does not say.
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sizes = "" if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name!r} ({sizes})"


@dataclass(frozen=True)
class Ends:
    """The one input and the one output of a program."""

    input: Port
    output: Port
    #: Rows in one run: 1, or ``None`` for any number.
    batch: int | None
    #: Dimensions of one row of the input; their product is the signature's width.
    row_shape: tuple[int, ...]


def fit(inputs: Sequence[Port], outputs: Sequence[Port], signature: Signature, field: str) -> Ends:
    """The ends of a program that can be run for a signature.

    :param field: names the program in an error.
    :raises InvalidInput: it cannot be.
    """
    if signature.is_text:
        raise InvalidInput(
            "signature.features", "a program takes numbers, and one of these is a text; give its numbers"
        )
    source, output = _only(inputs, "input", field), _only(outputs, "output", field)
    if not source.shape:
        raise InvalidInput(field, f"input {source} has no shape; export it with one, its first dimension the rows")
    batch, *rest = source.shape
    if batch not in (None, 1):
        raise InvalidInput(
            field,
            f"input {source} takes {batch} rows at a time, no more and no fewer; export it with a dynamic batch size, "
            'as dynamic_shapes=({0: torch.export.Dim("batch")},)',
        )
    row_shape = tuple(size for size in rest if size is not None)
    if len(row_shape) != len(rest):
        raise InvalidInput(field, f"input {source} must have fixed sizes but for its first dimension, the rows")
    if math.prod(row_shape) != signature.width:
        raise InvalidInput(
            field,
            f"input {source} takes {math.prod(row_shape)} numbers a row, but the signature's features give "
            f"{signature.width}; make them equal",
        )
    _check_output(output, signature, field)
    return Ends(source, output, batch, row_shape)


def _check_output(output: Port, signature: Signature, field: str) -> None:
    """:raises InvalidInput: its sizes, as far as they are known, are not those that the signature asks for."""
    wanted = signature.outputs
    if wanted is None:  # an embedding, of any width
        if output.shape and len(output.shape) != 2:
            raise InvalidInput(field, f"output {output} is not (rows, numbers), as an embedding is")
        return
    fits = not output.shape or output.shape[1:] in ((wanted,), (None,)) or (wanted == 1 and len(output.shape) == 1)
    if not fits:
        raise InvalidInput(field, f"output {output} is not (rows, {wanted}), as the signature asks for")


def _only(ports: Sequence[Port], what: str, field: str) -> Port:
    if len(ports) != 1:
        names = ", ".join(repr(port.name) for port in ports) or "none"
        raise InvalidInput(field, f"it must have one {what}, and has {names}")
    if not ports[0].is_float:
        raise InvalidInput(field, f"{what} {ports[0].name!r} must be a float32 tensor; export it as one")
    return ports[0]
