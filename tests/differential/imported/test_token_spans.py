"""The spans of token classification, against transformers' ``TokenClassificationPipeline``."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest
import torch
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer, TokenClassificationPipeline

from longshore.producers.models.importing import read_import
from longshore.shared.vocabulary import Aggregation
from longshore.workers.runtimes.huggingface import TextRuntime, load
from tests.computing import Output, compute
from tests.differential.imported.folders import PAIRS, TEXTS, changed, save_folder
from tests.differential.imported.reference import ATOL, quiet

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "X-Y", "B-O")
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
#: Parts of texts: words in one token and in several, unknown ones, signs, spaces, and characters of several bytes.
PARTS = (
    *("the", "The", "cat", "dogs", "unseen", "under", "moon", "café", "cafe\u0301", "Blue", "zebra", "x9", "tac"),
    *(" ", " ", " ", " ", "  ", "\t", "\u00a0", ".", ",", "-", "'", "\u4e00\u53ea", "\U0001f600", "\u00df", "[SEP]"),
)
Spans = list[dict[str, Any]]


def texts(count: int) -> list[str]:
    chosen = random.Random(3)
    made = ["".join(chosen.choices(PARTS, k=chosen.randrange(1, 30))) for _ in range(count)]
    return [*TEXTS, *made]


def save(folder: Path, pair: tuple[str, str]) -> Path:
    """The folder of a network that gives each token one of the labels."""
    save_folder(folder, *pair, "labels")
    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(folder, id2label=dict(enumerate(LABELS)))
    network: torch.nn.Module = AutoModelForTokenClassification.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in network.parameters():
        if parameter.dim() > 1:  # far from each other, so that tokens differ in their labels
            torch.nn.init.normal_(parameter, std=0.5)
    network.save_pretrained(folder)  # type: ignore[operator]
    return folder


def opened(folder: Path) -> TextRuntime:
    return load(read_import(folder, None).files, torch.device("cpu"))


def pipeline_of(folder: Path) -> TokenClassificationPipeline:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True).eval().float()
    return TokenClassificationPipeline(model=network, tokenizer=tokenizer, device="cpu")  # type: ignore[no-untyped-call]


def spans_of(output: Output | None) -> Spans:
    assert output is not None
    assert list(output) == ["spans"]
    spans = output["spans"]
    assert isinstance(spans, list)
    return spans


def of_pipeline(pipeline: TokenClassificationPipeline, text: str, aggregation: str) -> Spans:
    """What the pipeline finds, under the names that Longshore has."""
    key = "entity" if aggregation == "none" else "entity_group"
    found: Spans = pipeline(text, aggregation_strategy=aggregation)
    return [
        {
            "label": each[key],
            "start": each["start"],
            "end": each["end"],
            "score": float(each["score"]),
            "text": text[each["start"] : each["end"]],
        }
        for each in found
    ]


def without_scores(spans: Spans) -> Spans:
    return [{key: value for key, value in span.items() if key != "score"} for span in spans]


def scores_of(spans: Spans) -> list[float]:
    return [span["score"] for span in spans]


@pytest.mark.parametrize("pair", PAIRS)
def test_spans_are_those_of_the_pipeline(tmp_path: Path, pair: tuple[str, str]) -> None:
    folder, rows = save(tmp_path, pair), texts(40)
    with quiet(), torch.inference_mode():
        runtime, pipeline = opened(folder), pipeline_of(folder)
        batch = pa.record_batch({"text": rows})
        of_each: dict[str, list[object]] = {}
        for aggregation in AGGREGATIONS:
            outputs, errors = compute(runtime, batch, 16, aggregation=aggregation)
            assert not errors
            of_each[aggregation] = []
            for text, output in zip(rows, outputs, strict=True):
                spans = spans_of(output)
                expected = of_pipeline(pipeline, text, aggregation)
                assert without_scores(spans) == without_scores(expected), (aggregation, text)
                assert scores_of(spans) == pytest.approx(scores_of(expected), abs=ATOL)
                of_each[aggregation].append(without_scores(spans))
    # The texts tell the ways apart. Some of these networks give many tokens the same label.
    ways = {str(found) for found in of_each.values() if any(found)}
    assert len(ways) == len(AGGREGATIONS) or (len(ways) > 2 and pair[1] in ("camembert", "word-level"))


BERT, ROBERTA = ("bert", "wordpiece"), ("roberta", "byte-bpe")


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        (BERT, "do_lower_case", False),
        (BERT, "truncation_side", "left"),
        (BERT, "tokenize_chinese_chars", False),
        (BERT, "unk_token", "a"),
        (ROBERTA, "trim_offsets", False),
        (ROBERTA, "add_prefix_space", True),
        (ROBERTA, "model_max_length", 9),
    ],
)
def test_settings_of_the_tokenizer_count(tmp_path: Path, pair: tuple[str, str], key: str, value: object) -> None:
    folder = changed(save(tmp_path / "base", pair), tmp_path / "changed", "tokenizer_config.json", key, value)
    rows = texts(40)
    with quiet(), torch.inference_mode():
        pipeline = pipeline_of(folder)
        outputs, _ = compute(opened(folder), pa.record_batch({"text": rows}), aggregation="first")
        for text, output in zip(rows, outputs, strict=True):
            assert without_scores(spans_of(output)) == without_scores(of_pipeline(pipeline, text, "first")), text


def test_every_batch_size_gives_the_same_spans(tmp_path: Path) -> None:
    runtime = opened(save(tmp_path, BERT))
    batch = pa.record_batch({"text": pa.array([*texts(30), None])})
    first, errors = compute(runtime, batch, 1, aggregation="average")
    assert errors == {len(batch) - 1: "column 'text': null"}
    for size in (3, 100):
        outputs, _ = compute(runtime, batch, size, aggregation="average")
        for one, other in zip(first[:-1], outputs, strict=False):
            assert without_scores(spans_of(one)) == without_scores(spans_of(other))
            assert scores_of(spans_of(one)) == pytest.approx(scores_of(spans_of(other)), abs=ATOL)
    assert runtime.prepare(batch).notes == ("texts of more than 24 tokens are cut there",)


def test_a_text_with_nul_has_spans_that_postgres_stores(tmp_path: Path) -> None:
    runtime = opened(save(tmp_path, ROBERTA))
    outputs, _ = compute(runtime, pa.record_batch({"text": ["the\0cat " * 3]}), aggregation="none")
    found = "".join(str(span["text"]) for span in spans_of(outputs[0]))
    assert "\ufffd" in found
    assert "\0" not in found
