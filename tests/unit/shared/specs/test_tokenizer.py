from __future__ import annotations

import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.tokenizer import Tokenizer
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build


def spec(tokenizer: object) -> TrainSpec:
    values = {"model": "m", "family": "rnn", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    return build(TrainSpec, {**values, "tokenizer": tokenizer})


def test_a_string_names_a_version() -> None:
    assert spec("news:3").tokenizer == Tokenizer(version="news:3")
    assert spec(None).tokenizer is None
    assert spec({}).tokenizer == Tokenizer(kind="words", vocabulary=20_000, lowercase=True, min_frequency=2)


@pytest.mark.parametrize("options", [{}, {"kind": "bpe", "vocabulary": 300}, {"version": "news:1", "length": 9}])
def test_it_survives_the_way_to_a_worker(options: dict[str, object]) -> None:
    asked = spec(options)
    assert TrainSpec.model_validate_json(asked.model_dump_json()) == asked
    assert TrainSpec.model_validate_json(asked.model_dump_json(exclude_defaults=True)) == asked


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "letters"}, "at tokenizer.kind"),
        ({"size": 3}, "unknown key size"),
        ({"vocabulary": 2}, "at tokenizer.vocabulary"),
        ({"kind": "bpe", "vocabulary": 256}, "a vocabulary of bpe needs at least 257 entries"),
        ({"length": 0}, "at tokenizer.length"),
        ({"version": "news:1", "kind": "bpe"}, "the tokenizer of news:1 cannot be changed; leave kind out"),
        (3, "3"),
    ],
)
def test_what_cannot_be_asked_for(options: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        spec(options)
    assert refused.value.field == "tokenizer"
