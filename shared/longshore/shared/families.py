"""What each built-in family can be told. The networks themselves are built by the workers.

The configurations stand here, without torch, so that a producer can refuse a wrong one before anything is queued.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Units = Annotated[int, Field(ge=1, le=1_000_000)]
Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid"]


class FamilyConfig(BaseModel):
    """The base of every family's configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


#: The entry-point group of families that other packages bring.
FAMILY_GROUP = "longshore.families"

#: The families every worker has. Others come with packages installed on the workers.
BUILT_IN: dict[str, type[FamilyConfig]] = {"linear": LinearConfig, "mlp": MlpConfig, "cnn": CnnConfig}
