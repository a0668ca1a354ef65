"""The inputs and the output of an imported program, and how they match a signature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, OutputKind, Signature, TensorType

#: How the outputs of a program were made, as far as that is known: ``softmax``: they are probabilities that add up to
#: 1. ``sigmoid``: each is a probability. ``scores``: neither, nor logits.
Ending = Literal["softmax", "sigmoid", "scores"]
_FLOATS: tuple[TensorType, ...] = ("float32", "float64", "float16")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a program."""

    name: str
    #: The type of its elements; ``None`` if it is not a tensor, or of a type that NumPy does not have.
    dtype: TensorType | None
    #: Its dimensions, with ``None`` for a dynamic one; ``None`` as a whole if the file does not define a shape.
    shape: tuple[int | None, ...] | None
    #: What it is if ``dtype`` is ``None``.
    other: str = ""

    def __str__(self) -> str:
        sizes = "" if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        return (
            f"{self.name!r} ({sizes})" if self.dtype in (None, "float32") else f"{self.name!r} {self.dtype} ({sizes})"
        )


@dataclass(frozen=True)
class ProgramInput:
    """An input that takes some features."""

    name: str
    dtype: TensorType
    #: The shape of one row; the product of its dimensions is the number of values that its features give.
    row_shape: tuple[int, ...]


@dataclass(frozen=True)
class ProgramIO:
    """What a program takes and gives."""

    #: By input, see ``Signature.inputs``.
    inputs: Mapping[str | None, ProgramInput]
    output: TensorSpec
    #: Rows per run: 1, or ``None`` for any number.
    batch: int | None
    ending: Ending | None = None

    @property
    def input(self) -> ProgramInput:
        """The only input."""
        [only] = self.inputs.values()
        return only


def match_inputs(
    specs: Sequence[TensorSpec], signature: Signature, field: str
) -> tuple[dict[str | None, ProgramInput], int | None, Signature]:
    """Find the features of each input.

    The only input of a program takes all features, in their order. If there are several, a feature names its input, or
    has its name.

    :param field: names the program in an error.
    :returns: the inputs, the rows per run (1, or ``None`` for any number), and the signature with inputs and types.
    :raises InvalidInput: an input has no features, or does not match them.
    """
    if not specs:
        raise InvalidInput(field, "it has no inputs")
    assigned = [_with_input(feature, specs) for feature in signature.features]
    batch: int | None = None
    inputs: dict[str | None, ProgramInput] = {}
    for spec in specs:
        name = spec.name if len(specs) > 1 else None
        places = [place for place, feature in enumerate(assigned) if feature.input == name]
        if not places:
            raise InvalidInput(
                "signature.features", f'no feature is for the input {spec}; add one with this name, or with "input"'
            )
        alone, dtype = _check_input(spec, field)
        batch = 1 if alone else batch
        for place in places:
            assigned[place] = _with_dtype(assigned[place], dtype, spec)
        inputs[name] = ProgramInput(spec.name, dtype, _row_shape(spec, [assigned[place] for place in places], field))
    return inputs, batch, signature.model_copy(update={"features": tuple(assigned)})


def check_output(output: TensorSpec, signature: Signature, ending: Ending | None, field: str) -> None:
    """Check the output of a program against a signature.

    :param ending: how it was made.
    :raises InvalidInput: its type or its shape, as far as they are known, do not match.
    """
    if not _has_numbers(output, signature):
        given = output.dtype or output.other
        wanted = "float32, float64 or float16" if signature.labels is not None else "numbers"
        raise InvalidInput(field, f"output {output.name!r} is {given}, but must be a tensor of {wanted}")
    if _has_shape(output, signature):
        return
    if signature.outputs is None:
        raise InvalidInput(field, f"output {output} must have the shape (rows, numbers) for an embedding")
    single = is_single(output, signature)
    if single and (signature.output_kind or signature.label_output or ending in ("sigmoid", "scores")):
        return
    reason = f"output {output} must have the shape (rows, {signature.outputs}) to match the signature"
    if single and signature.labels:
        reason += f"; if its number is that of {signature.labels[1]!r}, import it with an output kind"
    raise InvalidInput(field, reason)


def is_single(output: TensorSpec, signature: Signature) -> bool:
    """Whether an output has one number for two labels: that of the second."""
    if signature.task != "classification" or signature.outputs != 2 or not output.shape:
        return False
    return len(output.shape) == 1 or output.shape[1:] == (1,)


def choose_output(outputs: Sequence[TensorSpec], signature: Signature, field: str) -> TensorSpec:
    """The output that a signature names, the only output, or the only one that fits the signature.

    :raises InvalidInput: there is no such output.
    """
    if signature.output is not None:
        named = next((spec for spec in outputs if spec.name == signature.output), None)
        if named is None:
            raise InvalidInput("signature.output", f"{signature.output!r} is no output; {_list(outputs)}")
        return named
    if len(outputs) == 1:
        return outputs[0]
    known = signature.label_output is not None
    fitting = [
        spec
        for spec in outputs
        if _has_numbers(spec, signature) and (_has_shape(spec, signature) or (known and is_single(spec, signature)))
    ]
    if len(fitting) != 1:
        which = "none of them fits" if not fitting else f"{len(fitting)} of them fit"
        raise InvalidInput(field, f"{_list(outputs)}; {which} the signature: name the one to use as its output")
    return fitting[0]


def kind_of(ending: Ending | None, output: TensorSpec, signature: Signature) -> OutputKind | None:
    """What the outputs are, from how they were made; ``None`` if that does not tell."""
    if signature.labels is None:
        return None
    if ending == "scores":
        return "scores" if signature.task == "classification" else None
    single = signature.task == "multilabel" or is_single(output, signature)
    return "probabilities" if ending == ("sigmoid" if single else "softmax") else None


def _with_input(feature: Feature, specs: Sequence[TensorSpec]) -> Feature:
    names = [spec.name for spec in specs]
    name = feature.input or (names[0] if len(specs) == 1 else feature.name)
    if name not in names:
        raise InvalidInput(
            "signature.features",
            f'{feature.name!r}: the program has no input {name!r}; name one of its inputs with "input": '
            f"{', '.join(map(str, specs))}",
        )
    return feature.model_copy(update={"input": name if len(specs) > 1 else None})


def _check_input(spec: TensorSpec, field: str) -> tuple[bool, TensorType]:
    """Whether an input takes one row at a time, and its type."""
    if spec.dtype is None:
        raise InvalidInput(field, f"input {spec.name!r} is {spec.other}, which is not supported; export it as float32")
    if not spec.shape:
        raise InvalidInput(field, f"input {spec} has no shape; export it with one whose first dimension is the rows")
    if spec.shape[0] not in (None, 1):
        raise InvalidInput(
            field,
            f"input {spec} takes exactly {spec.shape[0]} rows at a time; export it with a dynamic batch size: "
            'dynamic_shapes=({0: torch.export.Dim("batch")},)',
        )
    return spec.shape[0] == 1, spec.dtype


def _row_shape(spec: TensorSpec, features: Sequence[Feature], field: str) -> tuple[int, ...]:
    """The shape of a row. One dimension of unknown size gets what the features leave for it."""
    size = sum(feature.size for feature in features)
    rest = (spec.shape or ())[1:]
    known = [each for each in rest if each is not None]
    if len(known) < len(rest) - 1:
        raise InvalidInput(
            field, f"input {spec} must have a fixed size in every dimension but the rows and at most one other"
        )
    if len(known) < len(rest) and size % math.prod(known) == 0:
        return tuple(size // math.prod(known) if each is None else each for each in rest)
    if math.prod(known) != size or len(known) < len(rest):
        raise InvalidInput(
            field,
            f"input {spec} takes {math.prod(known)} numbers per row, but the signature's features give {size}; make "
            "them equal",
        )
    return tuple(known)


def _with_dtype(feature: Feature, dtype: TensorType, spec: TensorSpec) -> Feature:
    """The feature with the type of its input."""
    field = "signature.features"
    if feature.dtype not in (None, dtype):
        raise InvalidInput(field, f"{feature.name!r} is {feature.dtype}, but the input {spec} is {dtype}; omit dtype")
    if feature.transform is not None and dtype != "float32":
        raise InvalidInput(field, f"{feature.name!r} is preprocessed, but the input {spec} is not float32")
    if feature.missing is not None and dtype not in (*_FLOATS, "string"):
        raise InvalidInput(field, f"{feature.name!r}: the input {spec} cannot have missing values; omit missing")
    if dtype == "string":
        if feature.width is not None or feature.kind == "image":
            raise InvalidInput(field, f"{feature.name!r}: the input {spec} takes texts; give a feature for each column")
        return feature.model_copy(update={"kind": "text", "dtype": dtype})
    if feature.kind == "text":
        raise InvalidInput(
            field, f"{feature.name!r} is a text, but the input {spec} takes numbers; use numeric features"
        )
    if dtype == "float32":
        return feature.model_copy(update={"dtype": None})
    if feature.kind == "image":
        raise InvalidInput(
            field, f"{feature.name!r} is an image, but the input {spec} is not float32; export it as one"
        )
    # Exported programs take the numbers as they are in the data, and subtract the offsets themselves.
    offsets = None if dtype == "float64" else feature.offsets
    if offsets is not None:
        raise InvalidInput(field, f"{feature.name!r} has offsets, but the input {spec} is not float32 or float64")
    return feature.model_copy(update={"dtype": dtype, "offsets": None})


def _has_numbers(output: TensorSpec, signature: Signature) -> bool:
    """Whether an output has the numbers of a prediction."""
    if signature.labels is not None:
        return output.dtype in _FLOATS
    return output.dtype not in (None, "string")


def _has_shape(output: TensorSpec, signature: Signature) -> bool:
    """Whether the shape of an output fits a signature, as far as it is known."""
    width = signature.outputs
    if not output.shape:
        return True
    if width is None:  # an embedding of any width
        return len(output.shape) == 2
    return output.shape[1:] in ((width,), (None,)) or (width == 1 and len(output.shape) == 1)


def _list(outputs: Sequence[TensorSpec]) -> str:
    shown = [
        str(spec) if spec.dtype not in (None, "float32") else f"{spec.name!r} {spec.dtype or spec.other}"
        for spec in outputs
    ]
    return f"its outputs are {', '.join(shown) or 'none'}"
