"""The configuration of each built-in family. Workers build the networks themselves.

The configurations are defined here, without torch, so that producers can reject a wrong one before a job is queued.
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
    """The base class of every family's configuration: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Whether the family can read texts, as token ids padded with 0: the configuration has a ``vocabulary``, which is
    #: set from the tokenizer, and the network accepts rows shorter than its width, without padding.
    reads_tokens: ClassVar[bool] = False

    def check_width(self, width: int) -> None:
        """Check that the family can read rows of ``width`` numbers. By default every width is allowed.

        :raises InvalidInput: it cannot; names the option of the configuration.
        """

    def check_columns(self, names: Sequence[str]) -> None:
        """Check that the family can read these columns, in this order. By default all are allowed.

        :raises InvalidInput: it cannot.
        """

    @property
    def takes_ids(self) -> bool:
        """Whether the numbers of a row are token ids, which must not be standardised."""
        return False


def image_shape(config: Mapping[str, object]) -> tuple[int, int, int] | None:
    """The ``input_shape`` of a configuration as (channels, height, width); ``None`` if it has no valid one."""
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

    #: Units of each hidden layer, from first to last.
    hidden: tuple[Units, ...] = (256,)
    activation: Activation = "relu"
    #: Probability that a hidden unit is dropped in training, from 0 to below 1.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


#: Size of a square kernel, and zero padding on each side, both in pixels.
Kernel = Annotated[int, Field(ge=1, le=31)]
Padding = Annotated[int, Field(ge=0, le=15)]


#: Distinguishes one number for all blocks from one number per block, so that errors refer to the intended form.
_ONE_OR_EACH = Discriminator(lambda value: "each" if isinstance(value, list | tuple) else "all")


class CnnConfig(FamilyConfig):
    """Blocks of convolution, normalization, activation and max-pooling, then fully connected layers."""

    #: Shape of one row as (channels, height, width).
    input_shape: tuple[Units, Units, Units]
    #: Output channels of each convolution, from first to last.
    channels: tuple[Units, ...] = Field(default=(6, 16), min_length=1)
    #: Size of the square kernels, in pixels: one number for all blocks, or one per block.
    kernel_size: Annotated[Annotated[Kernel, Tag("all")] | Annotated[tuple[Kernel, ...], Tag("each")], _ONE_OR_EACH] = 5
    #: Zero padding on each side, in pixels: one number for all blocks, or one per block.
    padding: Annotated[Annotated[Padding, Tag("all")] | Annotated[tuple[Padding, ...], Tag("each")], _ONE_OR_EACH] = 0
    #: Normalization of each convolution's output. ``batch``: by each channel's mean and standard deviation in the
    #: batch, and at inference by the running statistics of the training.
    norm: Literal["none", "batch"] = "none"
    #: Size of the max-pooling windows, in pixels; 1 for no pooling.
    pool: Annotated[int, Field(ge=1, le=8)] = 2
    #: After the blocks, average each channel over the image, so that one number per channel remains.
    global_pool: bool = False
    #: Units of each hidden fully connected layer.
    hidden: tuple[Units, ...] = (120, 84)
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Written only if they are set, so that the digests of older versions do not change.
        fields: dict[str, object] = handler(self)
        return {
            key: value
            for key, value in fields.items()
            if key not in ("norm", "global_pool") or value != type(self).model_fields[key].default
        }

    @property
    def kernels(self) -> tuple[tuple[int, int], ...]:
        """Kernel size and padding of each block.

        :raises InvalidInput: their number differs from the number of blocks.
        """
        sizes, paddings = self._each("kernel_size", self.kernel_size), self._each("padding", self.padding)
        return tuple(zip(sizes, paddings, strict=True))

    def _each(self, name: str, value: int | tuple[int, ...]) -> tuple[int, ...]:
        blocks = len(self.channels)
        if isinstance(value, int):
            return (value,) * blocks
        if len(value) != blocks:
            raise InvalidInput(
                f"config.{name}",
                f"{list(value)}: {len(value)} numbers for {blocks} blocks (channels); give one number or one per block",
            )
        return value

    def check_width(self, width: int) -> None:
        pixels = math.prod(self.input_shape)
        if pixels != width:
            shape = " x ".join(map(str, self.input_shape))
            raise InvalidInput(
                "config.input_shape",
                f"{shape} is {pixels} numbers per row, but the features give {width}; make them equal",
            )
        self.flattened()

    def flattened(self) -> int:
        """How many numbers per row the convolution blocks pass to the fully connected layers.

        :raises InvalidInput: a kernel or a pooling window is larger than its input.
        """
        _, height, width = self.input_shape
        for block, (kernel, padding) in enumerate(self.kernels):
            height, width = (self._output_side(side, block, kernel, padding) for side in (height, width))
        return self.channels[-1] * (1 if self.global_pool else height * width)

    def _output_side(self, side: int, block: int, kernel: int, padding: int) -> int:
        """The side of the image after one block, in pixels."""
        padded, where = side + 2 * padding, f"block {block + 1} of {len(self.channels)}"
        if padded < kernel:
            raise InvalidInput(
                "config.kernel_size",
                f"{kernel} is larger than the image of {padded} pixels (including padding) before {where}; "
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


#: The columns of a tokenized text, in the order in which the rows of a transformer contain them.
TOKENISED = ("input_ids", "attention_mask", "token_type_ids")


class SequenceConfig(FamilyConfig):
    """The base class of families that read sequences of numbers (``input_shape``) or of tokens (``vocabulary``)."""

    reads_tokens: ClassVar[bool] = True

    #: Only for numbers: shape of one row as (steps, features).
    input_shape: tuple[Units, Units] | None = None
    #: Only for tokens: the number of ids. Id 0 is padding, on the right. Ids in a row are float32, which is exact for
    #: integers up to 2^24.
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
                f"{steps} x {features} is {steps * features} numbers per row, but the features give {width}; make them "
                "equal",
            )

    @property
    def takes_ids(self) -> bool:
        return self.vocabulary is not None


class RnnConfig(SequenceConfig):
    """A recurrent network over a sequence, then fully connected layers over its pooled states."""

    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    #: Only with ``vocabulary``: size of a token's embedding.
    embedding: Annotated[int, Field(ge=1, le=65_536)] = 128
    #: Standard deviation of the embeddings before training. With few rows, 0.1 reduces the noise of rare tokens.
    embedding_std: Annotated[float, Field(gt=0, le=100)] = 1.0
    #: Size of the state of each direction.
    hidden_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    num_layers: Annotated[int, Field(ge=1, le=64)] = 1
    #: Also run from the end to the start, and concatenate the states of both directions.
    bidirectional: bool = False
    #: What is predicted from: the last state, or the mean or maximum over all steps without padding.
    pooling: Literal["last", "mean", "max"] = "last"
    #: Units of each hidden fully connected layer after the pooling.
    hidden: tuple[Units, ...] = ()
    activation: Activation = "relu"
    #: Dropout probability in training: of the embedding, between layers, and of the pooled state.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TransformerConfig(SequenceConfig):
    """A transformer encoder over a sequence, which predicts from the mean of its outputs without padding."""

    #: Size of the vector of each step.
    d_model: Annotated[int, Field(ge=1, le=65_536)] = 128
    #: Number of attention heads; must divide ``d_model``.
    nhead: Annotated[int, Field(ge=1, le=1024)] = 4
    num_layers: Annotated[int, Field(ge=1, le=256)] = 2
    #: Units of the feed-forward network in each layer.
    dim_feedforward: Units = 512
    activation: Literal["relu", "gelu"] = "gelu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    #: Only with ``vocabulary``: the number of token types. Rows are then ``input_ids``, ``attention_mask`` and
    #: ``token_type_ids`` of equal length, concatenated. 0: rows are ids only, and id 0 is padding.
    token_types: Annotated[int, Field(ge=0, le=1024)] = 0

    def check_width(self, width: int) -> None:
        super().check_width(width)
        if self.d_model % self.nhead:
            raise InvalidInput(
                "config.nhead", f"{self.nhead} does not divide d_model, {self.d_model}; choose a divisor"
            )
        if not self.token_types:
            return
        if self.vocabulary is None:
            raise InvalidInput("config.token_types", f"{self.token_types}: only with vocabulary; leave it out")
        if width % len(TOKENISED):
            raise InvalidInput(
                "config.token_types",
                f"rows of {width} numbers are not {', '.join(TOKENISED)} of equal length; pad them to one length, or "
                "leave token_types out for rows of only ids",
            )

    def check_columns(self, names: Sequence[str]) -> None:
        if self.token_types and names and set(names) <= set(TOKENISED) and tuple(names) != TOKENISED:
            raise InvalidInput(
                "features", f"{', '.join(names)}: token_types needs {list(TOKENISED)}, in this order; list them so"
            )

    def length(self, width: int) -> int:
        """The number of steps in a row of ``width`` numbers."""
        if self.input_shape is not None:
            return self.input_shape[0]
        return width // len(TOKENISED) if self.token_types else width


class LightgbmConfig(FamilyConfig):
    """Gradient-boosted decision trees by LightGBM, which reads categories and missing values as they are."""

    #: Rounds of boosting in an epoch. A round adds one tree, or one for each of three or more classes.
    rounds: Annotated[int, Field(ge=1, le=1000)] = 10
    #: The factor of what a tree adds.
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    #: Leaves of a tree, at most.
    num_leaves: Annotated[int, Field(ge=2, le=4096)] = 31
    #: Depth of a tree, at most; -1 for no limit.
    max_depth: Annotated[int, Field(ge=-1, le=64)] = -1
    #: Rows in a leaf, at least.
    min_data_in_leaf: Annotated[int, Field(ge=1, le=10_000_000)] = 20
    #: Loss that a split must save, at least.
    min_gain_to_split: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    #: L1 and L2 regularisation of the values of the leaves.
    lambda_l1: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    lambda_l2: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    #: Share of the rows that a round is grown on, drawn by the seed. Smaller shares, which LightGBM draws otherwise,
    #: could not be resumed.
    bagging_fraction: Annotated[float, Field(ge=0.6, le=1)] = 1.0
    #: Share of the columns that a tree is grown on, drawn by the seed.
    feature_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    #: Bins that the values of a column are sorted into, at most.
    max_bin: Annotated[int, Field(ge=2, le=255)] = 255


class LanguageConfig(FamilyConfig):
    """The base class of families that train language models."""

    #: Tokens of a block: texts are longer only for the model that continues one. Default: 512, or the limit of the
    #: base if it is smaller.
    context: Annotated[int, Field(ge=8, le=1_048_576)] | None = None
    #: Put several texts into a block, so that little of it is padding. No text attends to another one.
    packing: bool = True
    #: Compute the layers a second time in the backward pass instead of keeping their outputs: slower, in less memory.
    gradient_checkpointing: bool = False


class CausalLmConfig(LanguageConfig):
    """A decoder as in Llama: rotary positions, RMSNorm, SwiGLU and grouped-query attention."""

    #: Number of layers.
    n_layers: Annotated[int, Field(ge=1, le=256)] = 6
    #: Size of the vector of each token.
    d_model: Annotated[int, Field(ge=8, le=65_536)] = 384
    #: Attention heads; must divide ``d_model`` into an even number.
    n_heads: Annotated[int, Field(ge=1, le=1024)] = 6
    #: Heads of keys and values, which groups of attention heads share; must divide ``n_heads``. Default: ``n_heads``.
    n_kv_heads: Annotated[int, Field(ge=1, le=1024)] | None = None
    #: Units of the feed-forward network of each layer. Default: 8/3 of ``d_model``, rounded up to a multiple of 64.
    d_ff: Units | None = None
    #: Base of the rotary positions.
    rope_theta: Annotated[float, Field(gt=1, le=1e9)] = 10_000.0
    #: Use the embeddings of the tokens for the output, too.
    tie_embeddings: bool = True
    #: Dropout probability of the attention in training.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.n_kv_heads or self.n_heads

    @property
    def feed_forward(self) -> int:
        """Units of the feed-forward network of each layer."""
        return self.d_ff or -(-8 * self.d_model // (3 * 64)) * 64

    def check_shape(self) -> None:
        """:raises InvalidInput: the heads do not divide what they must; names the option."""
        if self.d_model % self.n_heads or self.d_model // self.n_heads % 2:
            raise InvalidInput(
                "config.n_heads",
                f"{self.n_heads} does not divide d_model, {self.d_model}, into heads of an even size; choose another",
            )
        if self.n_heads % self.kv_heads:
            raise InvalidInput(
                "config.n_kv_heads", f"{self.kv_heads} does not divide n_heads, {self.n_heads}; choose a divisor"
            )


class LoraConfig(LanguageConfig):
    """An adapter of low rank beside the weights of a language model, which do not change."""

    #: The rank of the matrices.
    rank: Annotated[int, Field(ge=1, le=4096)] = 16
    #: The adapter's share is scaled by ``alpha / rank``. Default: twice the rank.
    alpha: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    #: Dropout probability of the adapter's inputs in training.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: Names of the layers that are adapted, such as ``["q_proj", "v_proj"]``; empty: all linear layers, without the
    #: output.
    target_modules: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()


#: The entry-point group for families from other packages.
FAMILY_GROUP = "longshore.families"

#: The families of Longshore, which every worker has, except :data:`EXTRAS`. Other families come with packages installed
#: on the workers.
BUILT_IN: dict[str, type[FamilyConfig]] = {
    "linear": LinearConfig,
    "mlp": MlpConfig,
    "cnn": CnnConfig,
    "rnn": RnnConfig,
    "transformer": TransformerConfig,
    "lightgbm": LightgbmConfig,
    "causal_lm": CausalLmConfig,
    "lora": LoraConfig,
}
#: Built-in families that need an extra on the workers.
EXTRAS: dict[str, str] = {"lightgbm": "lightgbm", "causal_lm": "huggingface", "lora": "huggingface"}
#: A package of each of these extras: workers without it do not offer the family.
PACKAGES: dict[str, str] = {"lightgbm": "lightgbm", "causal_lm": "transformers", "lora": "peft"}
#: Built-in families that train language models, whose versions generate text.
LANGUAGE_MODELS: dict[str, type[LanguageConfig]] = {"causal_lm": CausalLmConfig, "lora": LoraConfig}
#: Built-in families that grow trees instead of training a network.
TREES = frozenset({"lightgbm"})
