from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.transforms import (
    CategoryTransform,
    DateTransform,
    NumberTransform,
    TextTransform,
    Transform,
)

NUMBER = NumberTransform(fill=0.0, indicator=True)
SCALED = NumberTransform(scale="quantile", points=((0.0, -1.0), (2.5, 1.0)))
ONE_HOT = CategoryTransform(categories=("a", "b"), missing=True)
VECTOR = CategoryTransform(categories=("a", "b", "c"), encoding="embedding", width=5)
DATE = DateTransform(parts=("time", "season", "weekday", "hour"), zoned=True, origin=10.0, fill=0.0, indicator=True)
WORDS = TextTransform(length=6, buckets=100, width=4)


def signature(*features: Feature, **changes: object) -> Signature:
    values = {"features": features, "task": "regression", "target": "y"}
    return Signature.model_validate(values | changes)


MIXED = signature(
    Feature(name="plain"),
    Feature(name="n", transform=NUMBER, offsets=(7.0,)),
    Feature(name="list", width=3),
    Feature(name="one", kind="category", transform=ONE_HOT),
    Feature(name="day", kind="datetime", transform=DATE),
    Feature(name="many", kind="category", transform=VECTOR),
    Feature(name="words", kind="text", transform=WORDS),
    Feature(name="scaled", transform=SCALED),
)


@pytest.mark.parametrize(
    ("transform", "written"),
    [
        (NumberTransform(), '{"kind":"number"}'),
        (NUMBER, '{"kind":"number","fill":0.0,"indicator":true}'),
        (SCALED, '{"kind":"number","scale":"quantile","points":[[0.0,-1.0],[2.5,1.0]]}'),
        (NumberTransform(fill=1.5, scale="log"), '{"kind":"number","fill":1.5,"scale":"log"}'),
        (ONE_HOT, '{"kind":"category","categories":["a","b"],"missing":true}'),
        (CategoryTransform(categories=()), '{"kind":"category","categories":[]}'),
        (VECTOR, '{"kind":"category","categories":["a","b","c"],"encoding":"embedding","width":5}'),
        (DateTransform(parts=("time",)), '{"kind":"datetime","parts":["time"]}'),
        (
            DATE,
            '{"kind":"datetime","parts":["time","season","weekday","hour"],"zoned":true,"origin":10.0,"fill":0.0,'
            '"indicator":true}',
        ),
        (WORDS, '{"kind":"text","length":6,"buckets":100,"width":4}'),
    ],
)
def test_defaults_are_left_out_and_come_back(transform: Transform, written: str) -> None:
    assert transform.model_dump_json() == written
    feature = Feature.model_validate_json(f'{{"name":"x","kind":"{transform.kind}","transform":{written}}}')
    assert feature.transform == transform
    assert type(feature.transform) is type(transform)


@pytest.mark.parametrize(
    ("transform", "sizes"),
    [
        (NumberTransform(), (1, 1, 1)),
        (NUMBER, (2, 1, 2)),
        (SCALED, (1, 1, 1)),
        (ONE_HOT, (1, 0, 3)),
        (VECTOR, (1, 0, 5)),
        (DATE, (13, 1, 13)),
        (DateTransform(parts=("weekday",)), (7, 0, 7)),
        (DateTransform(parts=("time", "hour")), (3, 1, 3)),
        (WORDS, (6, 0, 4)),
    ],
)
def test_sizes(transform: Transform, sizes: tuple[int, int, int]) -> None:
    assert (transform.size, transform.standardized, transform.network_size) == sizes
    feature = Feature(name="x", kind=transform.kind, transform=transform)
    assert (feature.size, feature.network_size, feature.numbers) == (sizes[0], sizes[2], 1)
    assert feature.column == Feature(name="x", kind=transform.kind)


def test_the_sizes_of_a_signature() -> None:
    assert MIXED.width == 1 + 2 + 3 + 1 + 13 + 1 + 6 + 1
    assert MIXED.network_width == 1 + 2 + 3 + 3 + 13 + 5 + 4 + 1
    # An indicator, a code, what a date has besides its days, another code, and words.
    assert MIXED.unscaled == (2, 6, *range(8, 20), 20, *range(21, 27))
    assert MIXED.offsets == (0.0, 7.0, *[0.0] * 26)
    assert len(MIXED.offsets) == MIXED.width
    assert MIXED.is_preprocessed
    assert not MIXED.is_text
    assert signature(Feature(name="t", kind="text", width=8)).is_text
    plain = signature(Feature(name="a"), Feature(name="b", width=2))
    assert (plain.unscaled, plain.offsets, plain.network_width) == ((), (), 3)
    assert not plain.is_preprocessed


def test_a_signature_survives_json() -> None:
    assert Signature.model_validate_json(MIXED.model_dump_json()) == MIXED
    assert Signature.model_validate(MIXED.model_dump(mode="json")) == MIXED
    MIXED.check("signature")


def test_digests_of_older_versions_do_not_change() -> None:
    older = signature(
        Feature(name="a"),
        Feature(name="b", width=3, offsets=(1.0, 2.0, 3.0)),
        Feature(name="i", width=12, kind="image", shape=(3, 2, 2)),
        labels=("x", 2, True),
        task="classification",
    )
    written = older.model_dump_json()
    assert "transform" not in written
    # Of the text that the release before transforms wrote.
    digest = hashlib.sha256(written.encode()).hexdigest()
    assert digest == "e98c3c54d5c6ebf416bfdd013a686ac163524be21e9908b095001361d3c9c1bb"


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        (Feature(name="x", kind="category"), "'x': a column of kind category has a transform of its kind"),
        (Feature(name="x", kind="datetime"), "'x': a column of kind datetime has a transform of its kind"),
        (
            Feature(name="x", kind="datetime", transform=ONE_HOT),
            "a column of kind datetime has a transform of its kind",
        ),
        (Feature(name="x", transform=WORDS), "a column of kind number has a transform of its kind"),
        (Feature(name="x", kind="text", transform=NUMBER), "a column of kind text has a transform of its kind"),
        (Feature(name="x", width=2, transform=NUMBER), "'x': a column with a transform has no width"),
        (Feature(name="x", kind="text", width=9, transform=WORDS), "'x': a column with a transform has no width"),
        (Feature(name="x", kind="category", transform=ONE_HOT, offsets=(1.0,)), "'x': give 1 offsets, only to numbers"),
    ],
)
def test_transforms_that_do_not_fit_are_refused(feature: Feature, reason: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^signature\.features: .*{reason}"):
        signature(feature).check("signature")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "colour"},
        {"kind": "number", "fill": "nan"},
        {"kind": "number", "colour": 1},
        {"kind": "category"},
        {"kind": "datetime", "parts": ["minute"]},
        {"kind": "text", "length": 3},
        {},
    ],
)
def test_damaged_transforms_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Feature.model_validate({"name": "x", "transform": wrong})
