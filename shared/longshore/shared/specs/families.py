"""What each built-in family can be told. The networks themselves are built by the workers.

The configurations stand here, without torch, so that a producer can refuse a wrong one before anything is queued.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from longshore.shared.errors import InvalidInput

Units = Annotated[int, Field(ge=1, le=1_000_000)]
Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid"]


class FamilyConfig(BaseModel):
    """The base of every family's configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Whether texts can be read, as token ids padded with 0: the configuration has a ``vocabulary``, which is then the
    #: tokenizer's, and the network takes rows of fewer ids than its width, whose padding was cut off.
    reads_tokens: ClassVar[bool] = False

    def check_width(self, width: int) -> None:
        """Whether rows of ``width`` numbers can be run; most families take any.

        :raises InvalidInput: they cannot; names the option of the configuration.
        """

    def check_columns(self, names: Sequence[str]) -> None:
        """Whether the columns that rows are made of, in order, can be what the family reads; most take any.

        :raises InvalidInput: they cannot.
        """

    @property
    def takes_ids(self) -> bool:
        """Whether the numbers of a row are the ids of tokens, of which no mean is taken."""
        return False


def image_shape(config: Mapping[str, object]) -> tuple[int, int, int] | None:
    """The ``input_shape`` that any family's configuration names; ``None`` if it names no proper one."""
    shape = config.get("input_shape")
    if not isinstance(shape, list | tuple) or len(shape) != 3:
        return None
    sides = [side for side in shape if isinstance(side, int) and not isinstance(side, bool) and 0 < side <= 65_536]
    return (sides[0], sides[1], sides[2]) if len(sides) == 3 else None


class LinearConfig(FamilyConfig):
    """One affine layer: linear regression, or multinomial logistic regression."""

    bias: bool = True


class MlpConfig(FamilyConfig):
    """Fully connected layers with an activation between them."""

    #: Units of each hidden layer, first to last.
    hidden: tuple[Units, ...] = (256,)
    activation: Activation = "relu"
    #: Probability that a hidden unit is dropped in training, 0 to 1.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


#: Side of a square kernel, and zero padding on each side, in pixels.
Kernel = Annotated[int, Field(ge=1, le=31)]
Padding = Annotated[int, Field(ge=0, le=15)]


#: Tells one number for all blocks from one for each, so that an error is of what was meant.
_ONE_OR_EACH = Discriminator(lambda given: "each" if isinstance(given, list | tuple) else "all")


class CnnConfig(FamilyConfig):
    """Blocks of convolution, norm, activation and max-pooling, then fully connected layers."""

    #: Shape of one row as (channels, height, width).
    input_shape: tuple[Units, Units, Units]
    #: Output channels of each convolution, first to last.
    channels: tuple[Units, ...] = Field(default=(6, 16), min_length=1)
    #: Side of the square kernels, in pixels: of all blocks, or of each.
    kernel_size: Annotated[Annotated[Kernel, Tag("all")] | Annotated[tuple[Kernel, ...], Tag("each")], _ONE_OR_EACH] = 5
    #: Zero padding on each side, in pixels: of all blocks, or of each.
    padding: Annotated[Annotated[Padding, Tag("all")] | Annotated[tuple[Padding, ...], Tag("each")], _ONE_OR_EACH] = 0
    #: Of each convolution's output: ``batch`` scales every channel by its mean and deviation in the batch, and at
    #: inference by those of the training.
    norm: Literal["none", "batch"] = "none"
    #: Side of the max-pooling windows, in pixels; 1 for none.
    pool: Annotated[int, Field(ge=1, le=8)] = 2
    #: Take the mean of each channel over the image after the blocks, so that one number a channel is left.
    global_pool: bool = False
    #: Units of each hidden fully connected layer.
    hidden: tuple[Units, ...] = (120, 84)
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Written only where they are set, so that a version without them is what it always was.
        written: dict[str, object] = handler(self)
        return {
            key: value
            for key, value in written.items()
            if key not in ("norm", "global_pool") or value != type(self).model_fields[key].default
        }

    @property
    def kernels(self) -> tuple[tuple[int, int], ...]:
        """Of each block the side of the kernel and the padding.

        :raises InvalidInput: there are not as many as blocks.
        """
        given = [self._each("kernel_size", self.kernel_size), self._each("padding", self.padding)]
        return tuple(zip(*given, strict=True))

    def _each(self, name: str, value: int | tuple[int, ...]) -> tuple[int, ...]:
        blocks = len(self.channels)
        if isinstance(value, int):
            return (value,) * blocks
        if len(value) != blocks:
            raise InvalidInput(
                f"config.{name}",
                f"{list(value)}: {len(value)} of them for {blocks} blocks (channels); give one number, or one for each",
            )
        return value

    def check_width(self, width: int) -> None:
        pixels = math.prod(self.input_shape)
        if pixels != width:
            shape = " x ".join(map(str, self.input_shape))
            raise InvalidInput(
                "config.input_shape",
                f"{shape} is {pixels} numbers a row, but the features give {width}; make them equal",
            )
        self.flattened()

    def flattened(self) -> int:
        """Numbers a row that the convolution blocks hand to the fully connected layers.

        :raises InvalidInput: a kernel or a pooling window is larger than what it is moved over.
        """
        _, height, width = self.input_shape
        for block, (kernel, padding) in enumerate(self.kernels):
            height, width = (self._shrunk(side, block, kernel, padding) for side in (height, width))
        return self.channels[-1] * (1 if self.global_pool else height * width)

    def _shrunk(self, side: int, block: int, kernel: int, padding: int) -> int:
        """Pixels that one block leaves of a side of the image."""
        padded, where = side + 2 * padding, f"block {block + 1} of {len(self.channels)}"
        if padded < kernel:
            raise InvalidInput(
                "config.kernel_size",
                f"{kernel} is larger than the image of {padded} pixels (padding included) before {where}; "
                "use a smaller kernel, more padding or fewer channels",
            )
        convolved = padded - kernel + 1
        if convolved < self.pool:
            raise InvalidInput(
                "config.pool",
                f"{self.pool} is larger than the image of {convolved} pixels in {where}; "
                "use a smaller window or fewer channels",
            )
        return convolved // self.pool


#: What a tokenizer makes of a text, in the order in which the rows of a transformer hold it.
TOKENISED = ("input_ids", "attention_mask", "token_type_ids")


class SequenceConfig(FamilyConfig):
    """The base of the families that read a sequence: of numbers (``input_shape``), or of tokens (``vocabulary``)."""

    reads_tokens: ClassVar[bool] = True

    #: Of numbers: shape of one row as (steps, features).
    input_shape: tuple[Units, Units] | None = None
    #: Of tokens: ids are 0 to one less than this. Id 0 is padding, on the right. Ids are float32 in a row, which holds
    #: whole numbers up to 2^24.
    vocabulary: Annotated[int, Field(ge=2, le=2**24)] | None = None

    def check_width(self, width: int) -> None:
        if (self.input_shape is None) == (self.vocabulary is None):
            raise InvalidInput(
                "config.vocabulary" if self.vocabulary else "config.input_shape",
                "give either input_shape, as [steps, features] of numeric sequences, or vocabulary, the number of "
                "token ids",
            )
        if self.input_shape is not None and math.prod(self.input_shape) != width:
            steps, features = self.input_shape
            raise InvalidInput(
                "config.input_shape",
                f"{steps} x {features} is {steps * features} numbers a row, but the features give {width}; make them "
                "equal",
            )

    @property
    def takes_ids(self) -> bool:
        return self.vocabulary is not None


class RnnConfig(SequenceConfig):
    """A recurrent network over a sequence, then fully connected layers over its last state, or over all of them."""

    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    #: Numbers that each token is embedded as; of ``vocabulary`` alone.
    embedding: Annotated[int, Field(ge=1, le=65_536)] = 128
    #: Standard deviation of these numbers before training. With few rows, 0.1 leaves less of chance in rare tokens.
    embedding_std: Annotated[float, Field(gt=0, le=100)] = 1.0
    #: Numbers in the state of each direction.
    hidden_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    num_layers: Annotated[int, Field(ge=1, le=64)] = 1
    #: Also from the end to the beginning; the two last states are one row.
    bidirectional: bool = False
    #: What is predicted from: the last state, or the mean or the largest of each number over all steps but padding.
    pooling: Literal["last", "mean", "max"] = "last"
    #: Units of each hidden fully connected layer after the last state.
    hidden: tuple[Units, ...] = ()
    activation: Activation = "relu"
    #: Probability that a number is dropped in training: of the embedding, between layers, and of the last state.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TransformerConfig(SequenceConfig):
    """A transformer encoder over a sequence; the mean of its outputs, without padding, is what is predicted from."""

    #: Numbers in the vector of each step.
    d_model: Annotated[int, Field(ge=1, le=65_536)] = 128
    #: Attention heads; a divisor of ``d_model``.
    nhead: Annotated[int, Field(ge=1, le=1024)] = 4
    num_layers: Annotated[int, Field(ge=1, le=256)] = 2
    #: Units of the fully connected layer within each layer.
    dim_feedforward: Units = 512
    activation: Literal["relu", "gelu"] = "gelu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    #: Of ``vocabulary``, if a row is ``input_ids``, ``attention_mask`` and ``token_type_ids`` of equal length, one
    #: after the other: the number of token types. 0: a row is ids alone, and id 0 is padding.
    token_types: Annotated[int, Field(ge=0, le=1024)] = 0

    def check_width(self, width: int) -> None:
        super().check_width(width)
        if self.d_model % self.nhead:
            raise InvalidInput(
                "config.nhead", f"{self.nhead} is no divisor of d_model, {self.d_model}; each head takes an equal part"
            )
        if not self.token_types:
            return
        if self.vocabulary is None:
            raise InvalidInput("config.token_types", f"{self.token_types}: only with vocabulary; leave it out")
        if width % len(TOKENISED):
            raise InvalidInput(
                "config.token_types",
                f"rows of {width} numbers are not {', '.join(TOKENISED)} of equal length; pad them to one length, or "
                "leave token_types out for ids alone",
            )

    def check_columns(self, names: Sequence[str]) -> None:
        if self.token_types and names and set(names) <= set(TOKENISED) and tuple(names) != TOKENISED:
            raise InvalidInput(
                "features", f"{', '.join(names)}: token_types asks for {list(TOKENISED)}, in this order; name them so"
            )

    def length(self, width: int) -> int:
        """Steps in a row of ``width`` numbers."""
        if self.input_shape is not None:
            return self.input_shape[0]
        return width // len(TOKENISED) if self.token_types else width


#: The entry-point group of families that other packages bring.
FAMILY_GROUP = "longshore.families"

#: The families every worker has. Others come with packages installed on the workers.
BUILT_IN: dict[str, type[FamilyConfig]] = {
    "linear": LinearConfig,
    "mlp": MlpConfig,
    "cnn": CnnConfig,
    "rnn": RnnConfig,
    "transformer": TransformerConfig,
}
