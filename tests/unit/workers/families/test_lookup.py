"""Codes of categories and words as the numbers of a network."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import one_hot

from longshore.shared.specs.families import BUILT_IN
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform, TextTransform
from longshore.shared.specs.validation import build
from longshore.workers.families.lookup import ColumnLookup, needs_lookup
from longshore.workers.families.model import build_network
from longshore.workers.families.registry import get_family

NUMBER = Feature(name="n", transform=NumberTransform(fill=1, indicator=True))
LIST = Feature(name="l", width=3)
DAY = Feature(name="d", kind="datetime", transform=DateTransform(parts=("time", "hour")))
ONE_HOT = Feature(name="o", kind="category", transform=CategoryTransform(categories=("a", "b", "c"), missing=True))
VECTOR = Feature(
    name="v", kind="category", transform=CategoryTransform(categories=("a", "b"), encoding="embedding", width=5)
)
WORDS = Feature(name="w", kind="text", transform=TextTransform(length=4, buckets=50, width=6))


def lookup(*features: Feature) -> ColumnLookup:
    torch.manual_seed(0)
    return ColumnLookup(features).eval()


def rows_of(features: tuple[Feature, ...], count: int = 40) -> torch.Tensor:
    """Random rows: codes and words from 0 to the largest, other numbers of any size."""
    draw = torch.Generator().manual_seed(1)
    columns = []
    for feature in features:
        transform = feature.transform
        if isinstance(transform, CategoryTransform):
            columns.append(torch.randint(0, transform.codes + 1, (count, 1), generator=draw).float())
        elif isinstance(transform, TextTransform):
            ids = torch.randint(1, transform.buckets + 1, (count, transform.length), generator=draw)
            lengths = torch.randint(0, transform.length + 1, (count, 1), generator=draw)
            columns.append(ids.where(torch.arange(transform.length) < lengths, 0).float())
        else:
            columns.append(torch.randn(count, feature.size, generator=draw))
    return torch.cat(columns, dim=1)


def test_which_columns_are_looked_up() -> None:
    assert not needs_lookup([NUMBER, LIST, DAY])
    for feature in (ONE_HOT, VECTOR, WORDS):
        assert needs_lookup([NUMBER, feature])


@pytest.mark.parametrize(
    "features",
    [
        (ONE_HOT,),
        (WORDS, NUMBER),
        (NUMBER, LIST, ONE_HOT, DAY, VECTOR, WORDS, NUMBER),
        (VECTOR, VECTOR, ONE_HOT, ONE_HOT),
    ],
)
def test_each_column_becomes_its_numbers_in_order(features: tuple[Feature, ...]) -> None:
    module, rows = lookup(*features), rows_of(features)
    expected, start = [], 0
    vectors = iter(module.parameters())
    for feature in features:
        transform, own = feature.transform, rows[:, start : start + feature.size]
        start += feature.size
        if isinstance(transform, CategoryTransform):
            codes = own[:, 0].long()
            # Without a learned vector, 0 stands for a category that is unknown: no number is 1.
            hot = one_hot(codes, transform.codes + 1)[:, 1:].float()
            expected.append(hot if transform.width is None else next(vectors)[codes])
        elif isinstance(transform, TextTransform):
            table = next(vectors)
            means = [
                table[ids[ids > 0]].mean(dim=0) if (ids > 0).any() else torch.zeros(transform.width)
                for ids in own.long()
            ]
            expected.append(torch.stack(means))
        else:
            expected.append(own)
    with torch.no_grad():
        made = module(rows)
    torch.testing.assert_close(made, torch.cat(expected, dim=1))
    assert made.dtype == torch.float32
    signature = Signature(
        features=tuple(each.model_copy(update={"name": str(number)}) for number, each in enumerate(features)),
        task="regression",
        target="y",
    )
    assert made.shape == (len(rows), signature.network_width)
    assert rows.shape[1] == signature.width


def test_unknown_categories_and_texts_without_words_say_nothing_at_first() -> None:
    for feature in (ONE_HOT, VECTOR, WORDS):
        rows = torch.zeros(2, feature.size)
        assert not lookup(feature)(rows).any()


def test_vectors_of_rows_that_are_there_learn_alone() -> None:
    def learned(*row: float) -> list[list[int]]:
        """The vectors of categories, and those of words, that a row changes."""
        module = lookup(VECTOR, WORDS)
        module(torch.tensor([row], dtype=torch.float32)).sum().backward()
        gradients = [vectors.grad for vectors in module.parameters() if vectors.grad is not None]
        return [torch.nonzero(each.any(dim=1)).flatten().tolist() for each in gradients]

    assert learned(2, 7, 9, 0, 0) == [[2], [7, 9]]
    # An unknown category can be learned, if rows to train on have it; that there are no words cannot.
    assert learned(0, 0, 0, 0, 0) == [[0], []]


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_a_family_gets_the_numbers_and_rows_stay_apart(family: str) -> None:
    features = (NUMBER, ONE_HOT, VECTOR, WORDS)
    signature = Signature(features=features, task="regression", target="y")
    torch.manual_seed(3)
    config = build(BUILT_IN[family], {}, "config.")
    network = build_network(get_family(family), config, signature, 2).eval()
    rows = rows_of(features)
    with torch.no_grad():
        whole = network(rows)
        alone = torch.cat([network(row[None]) for row in rows])
    assert whole.shape == (40, 2)
    torch.testing.assert_close(alone, whole, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(network(rows.flip(0)).flip(0), whole, atol=1e-6, rtol=1e-5)


def test_codes_are_exact_in_half_precision_too() -> None:
    many = CategoryTransform(categories=tuple(f"{number:04}" for number in range(1000)), encoding="embedding", width=4)
    module = lookup(Feature(name="x", kind="category", transform=many), NUMBER)
    rows = torch.cat([torch.arange(1001.0)[:, None], torch.zeros(1001, 2)], dim=1)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        made = module(rows)
    assert len(torch.unique(made[:, :4], dim=0)) == 1001
