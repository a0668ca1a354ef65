"""Random changes of training images (data augmentation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature

T = TypeVar("T")

Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=1)]
Area = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0, le=100)]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RandomResizedCrop(_Options):
    """A random part of the image, scaled to the whole. Szegedy et al., 2014, https://arxiv.org/abs/1409.4842."""

    scale: tuple[Area, Area] = (0.08, 1.0)
    """The smallest and the largest share of the image's area."""
    ratio: tuple[Ratio, Ratio] = (3 / 4, 4 / 3)
    """The smallest and the largest ratio of width to height, relative to the image's."""

    @model_validator(mode="after")
    def _in_order(self) -> RandomResizedCrop:
        return _ordered(self, self.scale, self.ratio)


class RandomCrop(_Options):
    """The image, moved within a black border. As for CIFAR in He et al., 2015, https://arxiv.org/abs/1512.03385."""

    padding: Annotated[int, Field(ge=1, le=1024)] = 4
    """The width of the border on each side, in pixels."""


class ColorJitter(_Options):
    """Random factors, each drawn from 1 - x to 1 + x, of image files; the arithmetic is that of
    https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.ColorJitter.html, in this order.
    """

    brightness: Strength = 0.0
    """The strength of the change of brightness."""
    contrast: Strength = 0.0
    """The strength of the change of contrast."""
    saturation: Strength = 0.0
    """The strength of the change of saturation; only for images with three channels."""


class RandomErasing(_Options):
    """A rectangle, set to the mean of the training rows. Zhong et al., 2017, https://arxiv.org/abs/1708.04896."""

    p: Probability = 0.5
    """The probability that an image loses a rectangle."""
    scale: tuple[Area, Area] = (0.02, 0.33)
    """The smallest and the largest share of the image's area."""
    ratio: tuple[Ratio, Ratio] = (0.3, 3.3)
    """The smallest and the largest ratio of height to width."""

    @model_validator(mode="after")
    def _in_order(self) -> RandomErasing:
        return _ordered(self, self.scale, self.ratio)


class Augment(_Options):
    """Random changes of each training image, drawn again in each epoch, in the order of these fields.

    Changes that are not given are not made. The names and the defaults are those of torchvision's transforms,
    https://docs.pytorch.org/vision/stable/transforms.html.
    """

    random_resized_crop: RandomResizedCrop | None = None
    """Scale a random part of the image to the whole."""
    random_crop: RandomCrop | None = None
    """Move the image within a black border."""
    horizontal_flip: Probability = 0.0
    """The probability that an image is mirrored left to right."""
    vertical_flip: Probability = 0.0
    """The probability that an image is mirrored upside down."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """The largest angle in degrees by which an image is turned about its centre, either way. Corners become black."""
    color_jitter: ColorJitter | None = None
    """Change brightness, contrast and saturation."""
    random_erasing: RandomErasing | None = None
    """Replace a rectangle by the mean of the training rows."""

    def check(self, shape: tuple[int, int, int] | None, features: Sequence[Feature]) -> None:
        """Whether the rows are images that this can be done to.

        :param shape: (channels, height, width), as the family's configuration says; ``None`` if it takes no images.
        :raises InvalidInput: they are not.
        """
        if shape is None:
            raise InvalidInput("augment", "the family reads no images; train one that has an input_shape, such as cnn")
        jitter = self.color_jitter
        if jitter is None:
            return
        if any(feature.kind != "image" for feature in features):
            raise InvalidInput(
                "augment", "color_jitter needs image files, whose values are 0 to 1; leave it out for arrays of numbers"
            )
        if jitter.saturation and shape[0] != 3:
            raise InvalidInput("augment", "color_jitter: grey images have no saturation; leave it out")


def _ordered(options: T, *ranges: tuple[float, float]) -> T:
    for low, high in ranges:
        if low > high:
            raise ValueError(f"({low}, {high}) is from more to less")
    return options
