"""Random augmentation of the images of a batch, on the device of the batch.

The random numbers depend only on the seed, the epoch and the step, so a resumed training draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch.nn import functional

from longshore.shared.specs.train.augment import Augment, ColorJitter, RandomCrop, RandomErasing, RandomResizedCrop
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.seeds import derive_seed

#: Draws numbers from 0 to 1 in a shape, on the device of the images.
Draw = Callable[..., torch.Tensor]
#: From images ``(n, C, H, W)`` to images of the same shape.
Transform = Callable[[torch.Tensor, Draw], torch.Tensor]

#: Weights of red, green and blue in grey, https://www.itu.int/rec/R-REC-BT.601.
_GREY = (0.299, 0.587, 0.114)


class Augmentation:
    """Augments rows as a network takes them, float32 ``(n, width)``: standardised, if ``standardize`` is given.

    It changes the raw pixels, because each pixel has a scale of its own, which must not move with it.

    :param shape: (channels, height, width) of a row.
    :param own: the rows of a batch that this rank gets; by default all.
    """

    def __init__(
        self,
        augment: Augment,
        shape: tuple[int, int, int],
        seed: int,
        standardize: Standardize | None,
        own: Callable[[int], slice] = slice,
    ) -> None:
        self._transforms = list(_transforms(augment))
        self._erasing = augment.random_erasing
        self._shape = shape
        self._seed = seed
        self._standardize = standardize
        self._own = own

    def __call__(self, rows: torch.Tensor, epoch: int, step: int, count: int | None = None) -> torch.Tensor:
        """Return augmented copies of rows.

        :param count: rows of the whole batch, if other ranks have some; a row gets the same numbers on every rank.
        """
        generator = torch.Generator().manual_seed(derive_seed("augment", self._seed, epoch, step))

        def draw(*size: int) -> torch.Tensor:
            # Draw on the CPU, for the same numbers on every device.
            if count is None:
                return torch.rand(*size, generator=generator).to(rows.device)
            return torch.rand(count, *size[1:], generator=generator)[self._own(count)].to(rows.device)

        scale = self._standardize
        if self._transforms:
            images = (rows if scale is None else rows * scale.std + scale.mean).reshape(-1, *self._shape)
            for transform in self._transforms:
                images = transform(images, draw)
            rows = images.flatten(1) if scale is None else scale(images.flatten(1))
        if self._erasing is not None:
            rows = erase(self._erasing, rows.reshape(-1, *self._shape), draw).flatten(1)
        return rows


def _transforms(augment: Augment) -> list[Transform]:
    made: list[Transform] = []
    if augment.random_resized_crop is not None:
        made.append(partial(resized_crop, augment.random_resized_crop))
    if augment.random_crop is not None:
        made.append(partial(crop, augment.random_crop))
    if augment.horizontal_flip:
        made.append(partial(flip, augment.horizontal_flip, 3))
    if augment.vertical_flip:
        made.append(partial(flip, augment.vertical_flip, 2))
    if augment.rotation:
        made.append(partial(rotate, augment.rotation))
    if augment.color_jitter is not None:
        made.append(partial(jitter, augment.color_jitter))
    return made


def flip(probability: float, axis: int, images: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Mirror some images along an axis. https://arxiv.org/abs/1409.1556, section 3.1"""
    chosen = _each(draw(len(images)) < probability)
    return torch.where(chosen, images.flip(axis), images)


def crop(options: RandomCrop, images: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Move each image by up to ``padding`` pixels each way; the uncovered part is black."""
    count, _, height, width = images.shape
    offsets = 2 * options.padding + 1
    moved = (draw(count, 2) * offsets).long().clamp_(max=offsets - 1)
    down = moved[:, :1] + torch.arange(height, device=images.device)
    right = moved[:, 1:] + torch.arange(width, device=images.device)
    padded = functional.pad(images, [options.padding] * 4)
    number = torch.arange(count, device=images.device)[:, None, None]
    return padded[number, :, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)


def rotate(degrees: float, images: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Rotate each image about its centre, by up to ``degrees`` either way; the corners become black."""
    angle = (draw(len(images)) * 2 - 1) * math.radians(degrees)
    cosine, sine = angle.cos(), angle.sin()
    # The grid's coordinates go from -1 to 1 along both sides, for any lengths.
    stretch = images.shape[2] / images.shape[3]
    zero = torch.zeros_like(angle)
    return _warp(images, [[cosine, -sine * stretch, zero], [sine / stretch, cosine, zero]], "zeros")


def resized_crop(options: RandomResizedCrop, images: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Scale a part of each image to the whole."""
    area = _between(draw(len(images)), *options.scale)
    ratio = _between(draw(len(images)), *map(math.log, options.ratio)).exp()
    wide, high = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    right, down = (draw(len(images)) * 2 - 1) * (1 - wide), (draw(len(images)) * 2 - 1) * (1 - high)
    zero = torch.zeros_like(area)
    return _warp(images, [[wide, zero, right], [zero, high, down]], "border")


def jitter(options: ColorJitter, images: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Change brightness, contrast and saturation, in this order, of images with values 0 to 1."""
    brightness, contrast, saturation = (
        _each(1 + (draw(len(images)) * 2 - 1) * strength)
        for strength in (options.brightness, options.contrast, options.saturation)
    )
    images = (images * brightness).clamp(0, 1)
    images = _mix(images, _grey(images).mean(dim=(2, 3), keepdim=True), contrast)
    return _mix(images, _grey(images), saturation) if images.shape[1] == 3 else images


def _mix(images: torch.Tensor, others: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    return (images * share + others * (1 - share)).clamp(0, 1)


def _grey(images: torch.Tensor) -> torch.Tensor:
    """``(n, 1, H, W)``."""
    if images.shape[1] != 3:
        return images
    return (images * images.new_tensor(_GREY)[:, None, None]).sum(dim=1, keepdim=True)


def erase(options: RandomErasing, images: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Set a rectangle of some images to 0, which is the mean if they are standardised."""
    count, _, height, width = images.shape
    chosen = draw(count) < options.p
    area = _between(draw(count), *options.scale) * height * width
    ratio = _between(draw(count), *map(math.log, options.ratio)).exp()
    high, wide = (area * ratio).sqrt().clamp(max=height), (area / ratio).sqrt().clamp(max=width)
    down = _inside(draw(count) * (height - high), high, height)
    right = _inside(draw(count) * (width - wide), wide, width)
    erased = chosen[:, None, None] & down[:, :, None] & right[:, None, :]
    return images.masked_fill(erased[:, None], 0)


def _inside(start: torch.Tensor, length: torch.Tensor, side: int) -> torch.Tensor:
    """Which of ``side`` pixels have their centre from ``start`` on, for ``length``: ``(n, side)``."""
    centre = torch.arange(side, device=start.device) + 0.5
    return (centre >= start[:, None]) & (centre < (start + length)[:, None])


def _between(drawn: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return drawn * (high - low) + low


def _each(values: torch.Tensor) -> torch.Tensor:
    """One value per image, in the shape ``(n, 1, 1, 1)``."""
    return values[:, None, None, None]


def _warp(images: torch.Tensor, rows: list[list[torch.Tensor]], outside: Literal["zeros", "border"]) -> torch.Tensor:
    """Sample each pixel from elsewhere. ``rows``: the two rows of each image's matrix for ``affine_grid``."""
    theta = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=outside, align_corners=False)
