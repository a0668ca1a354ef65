"""Random changes of training images."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train.augment import Augment
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.data.augment import Augmentation

SHAPE = (3, 8, 12)
WIDTH = 3 * 8 * 12


def augmentation(options: Mapping[str, object], scale: Standardize | None = None, seed: int = 0) -> Augmentation:
    return Augmentation(Augment.model_validate(options), SHAPE, seed, scale)


def images(count: int = 64) -> torch.Tensor:
    """No two pixels alike, between 0.1 and 0.9."""
    return torch.rand(count, WIDTH, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1


def unflat(rows: torch.Tensor) -> torch.Tensor:
    return rows.reshape(-1, *SHAPE)


ALL: Mapping[str, object] = {
    "random_resized_crop": {},
    "random_crop": {"padding": 2},
    "horizontal_flip": 0.5,
    "vertical_flip": 0.5,
    "rotation": 20,
    "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4},
    "random_erasing": {"p": 0.5},
}


@pytest.mark.parametrize("name", ALL)
def test_each_changes_images_by_seed_epoch_and_step_alone(name: str) -> None:
    rows = images()
    before = rows.clone()
    made = augmentation({name: ALL[name]})
    first = made(rows, 1, 0)
    made(rows, 1, 1)
    assert torch.equal(augmentation({name: ALL[name]})(rows, 1, 0), first)
    assert torch.equal(rows, before)
    assert first.shape == rows.shape
    others = [made(rows, 1, 1), made(rows, 2, 0), augmentation({name: ALL[name]}, seed=1)(rows, 1, 0)]
    assert not any(torch.equal(first, other) for other in others)
    # Images of one batch are changed each in its own way.
    same = made(rows[:1].expand(64, -1).contiguous(), 1, 0)
    assert len(torch.unique(same, dim=0)) > 1
    assert ((first >= 0) & (first <= 1)).all()


def test_the_chance_of_a_flip() -> None:
    rows = images(2000)
    flipped = unflat(augmentation({"horizontal_flip": 0.25})(rows, 1, 0))
    there = (flipped == unflat(rows)).flatten(1).all(dim=1)
    mirrored = (flipped == unflat(rows).flip(3)).flatten(1).all(dim=1)
    assert (there ^ mirrored).all()
    assert 0.2 < mirrored.float().mean().item() < 0.3
    assert torch.equal(unflat(augmentation({"vertical_flip": 1})(rows, 1, 0)), unflat(rows).flip(2))


def test_a_crop_moves_the_whole_image_and_leaves_black_behind() -> None:
    rows = images(500)
    moved = unflat(augmentation({"random_crop": {"padding": 2}})(rows, 1, 0))
    padded = torch.nn.functional.pad(unflat(rows), [2] * 4)
    windows = {(y, x): padded[:, :, y : y + 8, x : x + 12] for y in range(5) for x in range(5)}
    found = {place: int((moved == window).flatten(1).all(dim=1).sum()) for place, window in windows.items()}
    assert sum(found.values()) == 500
    assert min(found.values()) > 0


def test_a_rotation_turns_as_pillow_does() -> None:
    size = 33
    bar = torch.zeros(1, size, size)
    bar[0, 4:10, 6:20] = 1
    made = Augmentation(Augment(rotation=90), (1, size, size), 0, None)
    turned = made(bar.flatten(1).expand(20, -1), 1, 0).reshape(-1, 1, size, size)
    picture = Image.fromarray((bar[0] * 255).byte().numpy())
    for each in turned:
        # Which angle it was is found by trying them all.
        tried = [picture.rotate(angle, Image.Resampling.BILINEAR).tobytes() for angle in range(-90, 91)]
        pixels = (torch.frombuffer(bytearray(one), dtype=torch.uint8) / 255 for one in tried)
        assert min(float((each.flatten() - one).abs().mean()) for one in pixels) < 0.01


def test_a_rotation_keeps_lengths_where_sides_differ() -> None:
    shape = (1, 32, 64)
    disc = torch.zeros(shape)
    y, x = torch.meshgrid(torch.arange(32) - 15.5, torch.arange(64) - 31.5, indexing="ij")
    disc[0] = ((y**2 + x**2) < 100).float()
    turned = Augmentation(Augment(rotation=180), shape, 0, None)(disc.flatten(1).expand(8, -1), 1, 0)
    assert (turned - disc.flatten(1)).abs().mean() < 0.01


def test_a_resized_crop_shows_a_part() -> None:
    ramp = torch.linspace(0, 1, 12).expand(3, 8, 12).reshape(1, -1).expand(300, -1)
    seen = unflat(augmentation({"random_resized_crop": {"scale": [0.25, 0.25], "ratio": [1, 1]}})(ramp, 1, 0))
    rise = seen[:, :, :, -2] - seen[:, :, :, 1]
    # Half as wide, so half as steep, wherever it was taken from.
    assert torch.allclose(rise, torch.full_like(rise, (9 / 11) / 2), atol=0.02)
    assert seen[:, 0, 0, 0].std() > 0.1


def test_colours_stay_between_black_and_white_and_grey_stays_grey() -> None:
    rows = images()
    for name, what in (("brightness", "mean"), ("contrast", "std")):
        changed = augmentation({"color_jitter": {name: 0.5}})(rows, 1, 0)
        factors = getattr(changed, what)(dim=1) / getattr(rows, what)(dim=1)
        assert factors.min() < 0.8
        assert factors.max() > 1.1
    grey = torch.rand(5, 1, 8, 12).expand(5, 3, 8, 12).reshape(5, -1)
    assert torch.allclose(augmentation({"color_jitter": {"saturation": 1}})(grey, 1, 0), grey, atol=1e-6)


def test_an_erased_rectangle_has_the_size_asked_for() -> None:
    rows = images(400)
    erased = (
        unflat(augmentation({"random_erasing": {"p": 0.75, "scale": [0.25, 0.25], "ratio": [1, 1]}})(rows, 1, 0)) == 0
    )
    share = erased.float().mean(dim=(1, 2, 3))
    hit = share > 0
    assert 0.68 < hit.float().mean().item() < 0.82
    assert share[hit].mean().item() == pytest.approx(0.25, abs=0.02)
    assert (erased == erased[:, :1]).all()


def test_pixels_are_changed_in_their_own_units() -> None:
    """As if the raw images were changed and then standardised."""
    rows = images(200)
    scale = Standardize.measure(rows, torch.arange(200))
    made = {name: ALL[name] for name in ALL if name != "random_erasing"}
    expected = scale(augmentation(made)(rows, 1, 0))
    assert torch.allclose(augmentation(made, scale)(scale(rows), 1, 0), expected, atol=1e-4)
    erased = augmentation({"random_erasing": {"p": 1}}, scale)(scale(rows), 1, 0)
    assert (erased == 0).any(dim=1).all()


@pytest.mark.parametrize(
    ("options", "shape", "kind", "reason"),
    [
        ({"rotation": 5}, None, "number", "reads no images"),
        ({"color_jitter": {"contrast": 0.5}}, SHAPE, "number", "color_jitter needs image files"),
        ({"color_jitter": {"saturation": 0.5}}, (1, 8, 12), "image", "grey images have no saturation"),
    ],
)
def test_what_cannot_be_done_to_rows_is_refused(
    options: dict[str, object], shape: tuple[int, int, int] | None, kind: str, reason: str
) -> None:
    feature = Feature.model_validate({"name": "x", "width": WIDTH, "kind": kind, "shape": SHAPE})
    with pytest.raises(InvalidInput, match=f"augment: .*{reason}"):
        Augment.model_validate(options).check(shape, [feature])


@pytest.mark.parametrize(
    "options",
    [
        {"flip": 1},
        {"horizontal_flip": 2},
        {"rotation": -1},
        {"random_crop": {"padding": 0}},
        {"random_erasing": {"scale": [0.3, 0.1]}},
    ],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Augment.model_validate(options)
