"""The input and output of a model version: the columns of a row, and the kind of prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.transforms import Transform

#: Kinds of columns whose values decide how many numbers they become: a version's have a transform.
UNFITTED = ("category", "datetime")
#: ``tokens``: labels for the tokens of a text, which become spans. ``generation``: a language model, which job kind
#: ``generate`` runs; its one feature is the text ``prompt``.
Task = Literal["classification", "regression", "embedding", "multilabel", "tokens", "generation"]
#: The type of the elements of an input tensor.
TensorType = Literal[
    "float32",
    "float64",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
    "string",
]
#: What the outputs of a classification or multilabel version are. ``logits``: a softmax or a sigmoid makes
#: probabilities of them. ``scores``: other numbers, such as the distances of a support vector machine; the label with
#: the largest is predicted.
OutputKind = Literal["logits", "probabilities", "scores"]


class Feature(BaseModel):
    """One input column: a number, a list of ``width`` numbers, a category, a date, a text, or an image file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    #: ``None``: the column has one number per row; n: it has lists of n numbers, or images of n numbers. For a text:
    #: how many tokens a family reads; ``None`` if the runtime defines it.
    width: int | None = None
    #: ``image``: the column has encoded image files (JPEG, PNG, ...), which are decoded to ``shape``.
    #: ``category``: a text, a whole number or a boolean; ``datetime``: a date or a time, also as text. Both have a
    #: ``transform``, and so has a text beside other columns.
    kind: Literal["number", "text", "image", "category", "datetime"] = "number"
    #: Only for images: (channels, height, width).
    shape: tuple[int, int, int] | None = None
    #: Only for numbers, one for each: they are subtracted from the column in 64 bits, before that becomes
    #: float32. For numbers far from 0, such as seconds since 1970, whose differences float32 would lose.
    offsets: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None = None
    #: Fitted preprocessing, of the same kind; ``None``: the numbers are taken as they are.
    transform: Transform | None = None
    #: Only for programs: the type of the tensor that takes the column. ``None``: float32, and anything but a program.
    dtype: TensorType | None = None
    #: Only for programs with several inputs: the one that takes the column. ``None``: the program has one input.
    input: str | None = None
    #: Only for programs that handle missing values: a null is put in as NaN, and in a column of texts as an empty text.
    #: ``None``: it is an error of its row.
    missing: Literal["nan"] | None = None

    @property
    def size(self) -> int:
        """How many numbers this column adds to a row."""
        if self.transform is not None:
            return self.transform.size
        return self.numbers

    @property
    def numbers(self) -> int:
        """How many numbers a value of the column has, before it is preprocessed."""
        return 1 if self.width is None else self.width

    @property
    def network_size(self) -> int:
        """How many numbers the network of a family gets, after categories and words are looked up."""
        return self.size if self.transform is None else self.transform.network_size

    @property
    def offset(self) -> float:
        """What is subtracted from a column of one number per row."""
        return 0.0 if self.offsets is None else self.offsets[0]

    @property
    def described(self) -> str:
        """The name, with the length of lists or the kind in parentheses."""
        if self.transform is not None and self.kind != "number":
            return f"{self.name} ({self.kind})"
        return self.name if self.width is None else f"{self.name} ({self.width})"

    @property
    def column(self) -> Feature:
        """The column alone, without what was fitted to its values."""
        return Feature(name=self.name, width=self.width, kind=self.kind, shape=self.shape)

    @property
    def reads_digits(self) -> bool:
        """Whether its numbers are read from text files digit by digit: 64-bit floats cannot hold all of them."""
        return self.width is None and self.dtype in ("int64", "uint64")

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Leave these fields out for numeric columns, so that the digests of older versions do not change.
        fields: dict[str, object] = handler(self)
        if self.kind == "number":
            del fields["kind"], fields["shape"]
        for name in ("offsets", "transform", "dtype", "input", "missing"):
            if getattr(self, name) is None:
                del fields[name]
        return fields


class Signature(BaseModel):
    """The columns that a version reads, in order, and what it predicts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Feature, ...]
    task: Task
    #: The column it was trained to predict.
    target: str
    #: Only for classification, for multilabel, where several labels can apply to a row, and for tokens, which have one
    #: each: labels by output index.
    labels: tuple[str | int | bool, ...] | None = None
    #: Only for regression. ``None``: one number per row; n: lists of n numbers.
    target_width: int | None = None
    #: Only for embeddings: how many numbers one has. ``None``: unknown, as for imported versions.
    embedding_width: int | None = None
    #: Only for regression: the function that turns the outputs of the network into the values. ``None``: they are them.
    activation: Literal["sigmoid"] | None = None
    #: Only for programs with several outputs: the one that is used. ``None``: the program has one output.
    output: str | None = None
    #: Only for programs that classify, single or multilabel. ``None``: not known; otherwise ``logits``.
    output_kind: OutputKind | None = None
    #: Only for programs that classify: the output with the label of a row, which need not be that of its largest
    #: output. ``None``: it is.
    label_output: str | None = None

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Written only if they are set, so that the digests of older versions do not change.
        fields: dict[str, object] = handler(self)
        for name in (
            "target_width",
            "embedding_width",
            "activation",
            "output",
            "output_kind",
            "label_output",
        ):
            if fields[name] is None:
                del fields[name]
        return fields

    @property
    def width(self) -> int:
        """How many numbers a row has: a batch of n rows is a float32 matrix of shape (n, width)."""
        return sum(feature.size for feature in self.features)

    @property
    def offsets(self) -> tuple[float, ...]:
        """What is subtracted from each number of a row; empty if nothing is."""
        if all(feature.offsets is None for feature in self.features):
            return ()
        return tuple(
            offset
            for feature in self.features
            for offset in (*(feature.offsets or ()), *(0.0,) * (feature.size - len(feature.offsets or ())))
        )

    @property
    def network_width(self) -> int:
        """How many numbers of a row the network of a family gets, after categories and words are looked up."""
        return sum(feature.network_size for feature in self.features)

    @property
    def is_preprocessed(self) -> bool:
        """Whether a column has fitted preprocessing."""
        return any(feature.transform is not None for feature in self.features)

    @property
    def unscaled(self) -> tuple[int, ...]:
        """The positions of a row that are never standardised: codes, words, and numbers that are 0 or 1."""
        positions: list[int] = []
        start = 0
        for feature in self.features:
            if feature.transform is not None:
                positions += range(start + feature.transform.standardized, start + feature.size)
            start += feature.size
        return tuple(positions)

    @property
    def is_text(self) -> bool:
        """Whether the version reads texts as tokens instead of numbers."""
        return any(
            feature.kind == "text" and feature.transform is None and feature.dtype is None for feature in self.features
        )

    @property
    def inputs(self) -> dict[str | None, tuple[Feature, ...]]:
        """The features of each input of a program, in order. Everything else has one input, ``None``."""
        inputs: dict[str | None, list[Feature]] = {}
        for feature in self.features:
            inputs.setdefault(feature.input, []).append(feature)
        return {name: tuple(features) for name, features in inputs.items()}

    @property
    def outputs(self) -> int | None:
        """How many numbers the model returns per row; ``None`` for an embedding of unknown width."""
        if self.task in ("classification", "multilabel", "tokens"):
            return len(self.labels or ())
        return (self.target_width or 1) if self.task == "regression" else self.embedding_width

    def check(self, field: str) -> None:
        """Validate a signature from outside; those that Longshore writes itself are always valid.

        :param field: the prefix of the field name in an error.
        :raises InvalidInput: features or labels are missing, duplicate, empty, or do not match the task.
        """
        if not self.features:
            raise InvalidInput(f"{field}.features", "empty; list the columns that the model reads")
        _check_repeated(f"{field}.features", (feature.name for feature in self.features))
        for feature in self.features:
            if not feature.name or (feature.width is not None and feature.width < 1):
                raise InvalidInput(f"{field}.features", f"{feature.name!r} of width {feature.width} is not a column")
            self._check_transform(feature, field)
            if feature.offsets is not None and (feature.kind != "number" or len(feature.offsets) != feature.numbers):
                raise InvalidInput(
                    f"{field}.features", f"{feature.name!r}: give {feature.numbers} offsets, only to numbers"
                )
        for name, width, task in (
            ("target_width", self.target_width, "regression"),
            ("embedding_width", self.embedding_width, "embedding"),
        ):
            if width is not None and (self.task != task or width < 1):
                raise InvalidInput(f"{field}.{name}", f"{width}: not allowed for the task {self.task}; leave it out")
        if self.activation is not None and self.task != "regression":
            raise InvalidInput(
                f"{field}.activation", f"{self.activation}: not allowed for the task {self.task}; leave it out"
            )
        if self.task == "tokens" and (len(self.features) != 1 or self.features[0].kind != "text" or not self.is_text):
            raise InvalidInput(f"{field}.task", "tokens: only for models of one text, imported from their folder")
        if self.output_kind is not None and self.task not in ("classification", "multilabel"):
            raise InvalidInput(f"{field}.output_kind", f"not allowed for the task {self.task}; leave it out")
        if self.output_kind == "scores" and self.task == "multilabel":
            raise InvalidInput(f"{field}.output_kind", "scores: a multilabel version needs logits or probabilities")
        self._check_labels(f"{field}.labels")

    @staticmethod
    def _check_transform(feature: Feature, field: str) -> None:
        kind = None if feature.transform is None else feature.transform.kind
        if (kind is None and feature.kind in UNFITTED) or kind not in (None, feature.kind):
            raise InvalidInput(
                f"{field}.features", f"{feature.name!r}: a column of kind {feature.kind} has a transform of its kind"
            )
        if kind is not None and feature.width is not None:
            raise InvalidInput(f"{field}.features", f"{feature.name!r}: a column with a transform has no width")

    def _check_labels(self, field: str) -> None:
        if self.task in ("regression", "embedding", "generation"):
            if self.labels is not None:
                raise InvalidInput(field, f"not allowed for the task {self.task}; leave them out")
            return
        minimum = 2 if self.task == "classification" else 1
        if self.labels is None or len(self.labels) < minimum:
            count = "two or more" if minimum == 2 else "one or more"
            raise InvalidInput(field, f"{self.task} needs {count} labels, one for each output of the model")
        # Compared as they are written in results: 1, true and "1" are three different labels.
        _check_repeated(field, (repr(label) for label in self.labels))


def _check_repeated(field: str, names: Iterable[str]) -> None:
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InvalidInput(field, f"{repeated[0]} is listed more than once")
