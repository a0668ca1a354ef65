"""Which tokenizer a training on texts has, as it is settled before anything is queued."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from longshore.producers.planning.training.data import Taken
from longshore.producers.planning.training.streaming import settle_stream
from longshore.producers.planning.training.texts import (
    check_text_config,
    check_text_options,
    settle_tokenizer,
    tokens_of,
)
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.database import Database
from longshore.shared.ledger.models.registry import Models
from longshore.shared.ledger.records import VersionRecord
from longshore.shared.specs.jobs import FileInput, InlineInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.tokenizer import Tokenizer
from longshore.shared.specs.train import TrainSpec

#: Of a database that is not there: nothing here asks it.
MODELS = Models(Database("postgresql://nobody@127.0.0.1:1/none", "tests"))
TEXT = (Feature(name="title", width=64, kind="text"),)


def spec(**options: object) -> TrainSpec:
    values = {"model": "m", "family": "rnn", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    return TrainSpec.model_validate(values | options)


def version(tokenizer: str | None, width: int = 64) -> VersionRecord:
    feature = {"name": "title", "width": width, "kind": "text"} if tokenizer else {"name": "x", "width": width}
    signature = {"features": [feature], "task": "regression", "target": "y"}
    manifest = {"family": "rnn", "signature": signature}
    if tokenizer:
        manifest["tokenizer"] = {"digest": "sha256:" + tokenizer * 64, "size": 1}
    return VersionRecord(
        model="news",
        version=3,
        digest="sha256:" + "0" * 64,
        manifest=manifest,  # type: ignore[arg-type]
        job_id=None,
        created_at=datetime.now(UTC),
    )


def test_where_nothing_is_said_one_is_trained() -> None:
    settled = settle_tokenizer(spec(), {}, MODELS)
    assert settled.tokenizer == Tokenizer(length=256)
    assert settled.tokenizer_digest is None
    assert tokens_of(settled) == 256
    assert tokens_of(settle_tokenizer(spec(family="mlp"), {}, MODELS)) is None
    # Without texts there is none after all.
    assert check_text_options(settled, spec(), [Feature(name="x", width=64)]) == spec()


@pytest.mark.parametrize("option", ["base", "teacher"])
def test_a_version_brings_its_own(option: str) -> None:
    asked = spec(**{option: "news:3"})
    settled = settle_tokenizer(asked, {option: version("a")}, MODELS)
    assert settled.tokenizer == Tokenizer(version="news:3", length=64)
    assert settled.tokenizer_digest == "sha256:" + "0" * 64
    with pytest.raises(InvalidInput, match=r"^tokenizer: news:3 brings its own"):
        settle_tokenizer(spec(tokenizer={}, **{option: "news:3"}), {option: version("a")}, MODELS)
    numbers = settle_tokenizer(asked, {option: version(None)}, MODELS)
    assert numbers.tokenizer_digest is None


def test_a_base_and_a_teacher_must_agree() -> None:
    asked = spec(base="news:3", teacher="big:1")
    same = settle_tokenizer(asked, {"base": version("a"), "teacher": version("a")}, MODELS)
    assert same.tokenizer == Tokenizer(version="news:3", length=64)
    with pytest.raises(InvalidInput, match=r"^teacher: big:1 has another tokenizer than news:3"):
        settle_tokenizer(asked, {"base": version("a"), "teacher": version("b")}, MODELS)


@pytest.mark.parametrize("config", [{"vocabulary": 9}, {"input_shape": [2, 2]}, {"token_types": 2}])
def test_what_a_tokenizer_decides_is_not_told(config: dict[str, object]) -> None:
    check_text_config({"hidden": [8], "vocabulary": None, "token_types": 0})
    with pytest.raises(InvalidInput) as refused:
        check_text_config(config)
    assert refused.value.field == f"config.{next(iter(config))}"


def test_texts_are_never_streamed() -> None:
    table = pa.table({"title": ["a"], "y": [1.0]})
    data = FileInput(uri="/texts.csv", format="csv", size=2**40)
    taken = Taken("data", data, b"", table.schema, table, whole=False, count=None)
    assert settle_stream(spec(), taken, TEXT).stream is None
    assert settle_stream(spec(), taken, [Feature(name="x")]).stream is True
    with pytest.raises(InvalidInput, match=r"^stream: texts are held in memory"):
        settle_stream(spec(stream=True), taken, TEXT)
