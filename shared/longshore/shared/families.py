"""What each built-in family can be told. The networks themselves are built by the workers.

The configurations stand here, without torch, so that a producer can refuse a wrong one before anything is queued.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from longshore.shared.errors import InvalidInput

Units = Annotated[int, Field(ge=1, le=1_000_000)]
Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid"]


class FamilyConfig(BaseModel):
    """The base of every family's configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def check_width(self, width: int) -> None:
        """Whether rows of ``width`` numbers can be run; most families take any.

        :raises InvalidInput: they cannot; names the option of the configuration.
        """


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


class CnnConfig(FamilyConfig):
    """Convolution, activation and max-pooling blocks, then fully connected layers."""

    #: Shape of one row as (channels, height, width).
    input_shape: tuple[Units, Units, Units]
    #: Output channels of each convolution, first to last.
    channels: tuple[Units, ...] = Field(default=(6, 16), min_length=1)
    #: Side of the square kernels, in pixels.
    kernel_size: Annotated[int, Field(ge=1, le=31)] = 5
    #: Zero padding on each side, in pixels.
    padding: Annotated[int, Field(ge=0, le=15)] = 0
    #: Side of the max-pooling windows, in pixels; 1 for none.
    pool: Annotated[int, Field(ge=1, le=8)] = 2
    #: Units of each hidden fully connected layer.
    hidden: tuple[Units, ...] = (120, 84)
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

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
        for block in range(len(self.channels)):
            height, width = self._shrunk(height, block), self._shrunk(width, block)
        return self.channels[-1] * height * width

    def _shrunk(self, side: int, block: int) -> int:
        """Pixels that one block leaves of a side of the image."""
        padded, where = side + 2 * self.padding, f"block {block + 1} of {len(self.channels)}"
        if padded < self.kernel_size:
            raise InvalidInput(
                "config.kernel_size",
                f"{self.kernel_size} is larger than the image of {padded} pixels (padding included) before {where}; "
                "use a smaller kernel, more padding or fewer channels",
            )
        convolved = padded - self.kernel_size + 1
        if convolved < self.pool:
            raise InvalidInput(
                "config.pool",
                f"{self.pool} is larger than the image of {convolved} pixels in {where}; "
                "use a smaller window or fewer channels",
            )
        return convolved // self.pool


#: The entry-point group of families that other packages bring.
FAMILY_GROUP = "longshore.families"

#: The families every worker has. Others come with packages installed on the workers.
BUILT_IN: dict[str, type[FamilyConfig]] = {"linear": LinearConfig, "mlp": MlpConfig, "cnn": CnnConfig}
