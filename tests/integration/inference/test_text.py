"""Text models, from the folder to the table of results."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from longshore.producers import AsyncClient, Client, Infer, Job
from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.workers.runtimes.huggingface import load
from tests.computing import compute
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.text_models import TEXTS, save_model, save_sentence, save_token_labels
from tests.unit.shared.model_formats.huggingface_files import write_sentence
from tests.waiting import TIMEOUT_S


def computed(folder: Path, texts: list[str], **options: object) -> list[dict[str, object]]:
    """What this process makes of some texts."""
    runtime = load(read_import(folder, None).files, torch.device("cpu"))
    outputs, _ = compute(runtime, pa.record_batch({"text": texts}), 1000, **options)
    return [output for output in outputs if output is not None]


async def submitted_at_once(client: Client, model: str, batches: list[dict[str, object]]) -> list[Job | BaseException]:
    """What callers get who submit some rows each at the same time."""
    settings = client.settings
    async with AsyncClient(
        redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store
    ) as submitting:
        made = await asyncio.gather(
            *(submitting.infer(model, batch, logits=True) for batch in batches), return_exceptions=True
        )
    return [each if isinstance(each, BaseException) else client.job(each.id) for each in made]


def test_texts_of_a_file_and_of_a_call_are_embedded(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_sentence(folder)
    longshore = CommandLine(cluster.environment)
    assert longshore("models", "import", folder, "--name", "sentences", "--alias", "best").out == "sentences:1\n"
    assert "features  text\n" in longshore("models", "show", "sentences@best").out

    texts = [f"{text} {'cat ' * (number % 7)}" for number, text in enumerate(TEXTS * 40)]
    data = tmp_path / "texts.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([number, text] for number, text in enumerate(texts))])
    found = client.infer("sentences@best", data, rows_per_shard=70).wait(TIMEOUT_S).results()
    assert found["row"].to_pylist() == list(range(len(texts)))
    wanted = np.array([output["embedding"] for output in computed(folder, texts)])
    np.testing.assert_allclose(np.array(found["embedding"].to_pylist()), wanted, atol=1e-5)

    for rows in (texts[:5], [{"text": text, "id": 1} for text in texts[:5]], {"text": texts[:5]}):
        inline = client.infer("sentences", rows).wait(TIMEOUT_S).results()
        np.testing.assert_allclose(np.array(inline["embedding"].to_pylist()), wanted[:5], atol=1e-5)

    whole = client.infer("sentences", data).wait(TIMEOUT_S)
    assert list(whole.notes) == ["texts of more than 12 tokens are cut there"]
    np.testing.assert_allclose(np.array(whole.results()["embedding"].to_pylist()), wanted, atol=1e-5)

    with pytest.raises(InvalidInput, match="data: no column 'text'; the data has 'title'"):
        client.infer("sentences", [{"title": "a cat"}])
    with pytest.raises(InvalidInput, match=r"column 'text' has one number per row .*, not text"):
        client.infer("sentences", [{"text": 1}])

    exported = client.models.export("sentences:1", tmp_path / "exported")
    assert (exported / "1_Pooling/config.json").read_bytes() == (folder / "1_Pooling/config.json").read_bytes()
    assert client.models.import_(exported, "copied").digest == client.models.get("sentences:1").digest


def test_texts_are_classified(client: Client, tmp_path: Path) -> None:
    save_model(tmp_path, head=True, shards=True, id2label={0: "sport", 1: "world", 2: "trade"})
    client.models.import_(tmp_path, "topics")
    job = client.infer("topics", [*TEXTS, None], top_k=2)
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    assert [(error.row, error.message) for error in job.errors()] == [(len(TEXTS), "column 'text': null")]
    found = client.infer("topics", TEXTS, top_k=2).wait(TIMEOUT_S).results()
    wanted = computed(tmp_path, TEXTS)
    assert found["label"].to_pylist() == [output["label"] for output in wanted]
    np.testing.assert_allclose(found["score"].to_numpy(), [float(str(output["score"])) for output in wanted], atol=1e-5)
    for label, ranked in zip(found["label"].to_pylist(), found["top_k"].to_pylist(), strict=True):
        assert ranked[0]["label"] == label
        assert ranked[0]["score"] >= ranked[1]["score"]


def test_of_texts_that_run_together_those_that_are_cut_are_noted(client: Client, tmp_path: Path) -> None:
    save_sentence(tmp_path)
    client.models.import_(tmp_path, "cutting")
    long, short = ["cat " * 50], ["a cat"]
    jobs = client.submit_many([Infer("cutting", long if number % 3 else short) for number in range(30)])
    client.wait(jobs, TIMEOUT_S)
    cut = ["texts of more than 12 tokens are cut there"]
    assert [list(job.notes) for job in jobs] == [cut if number % 3 else [] for number in range(30)]


def test_a_model_that_cannot_be_loaded_ends_its_job_once(client: Client, tmp_path: Path) -> None:
    write_sentence(tmp_path)  # of one tensor that is none of the network's
    client.models.import_(tmp_path, "broken")
    job = client.infer("broken", ["a"])
    with pytest.raises(JobFailed, match=r"tokenizer\.json cannot be loaded"):
        job.wait(TIMEOUT_S)
    assert max(shard.attempt for shard in job.shards()) == 1


def test_pairs_of_texts_are_scored(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    save_model(tmp_path / "model", head=True, num_labels=1, sentence_transformers={"activation_fn": "torch.nn.Sigmoid"})
    client.models.import_(tmp_path / "model", "reranker")
    shown = CommandLine(cluster.environment)("models", "show", "reranker").out
    assert "features  text, text_pair\n" in shown
    assert "output    values before a sigmoid\n" in shown
    rows = [{"text": TEXTS[0], "text_pair": text, "id": f"0{number}"} for number, text in enumerate(TEXTS)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = client.infer("reranker", data).wait(TIMEOUT_S).results()["value"].to_pylist()
    assert found == client.infer("reranker", rows).wait(TIMEOUT_S).results()["value"].to_pylist()
    runtime = load(read_import(tmp_path / "model", None).files, torch.device("cpu"))
    outputs, _ = compute(runtime, pa.RecordBatch.from_pylist(rows))
    np.testing.assert_allclose(found, [float(str(output["value"])) for output in outputs if output], atol=1e-5)
    assert all(0 < value < 1 for value in found)
    with pytest.raises(InvalidInput, match="data: no column 'text_pair'"):
        client.infer("reranker", TEXTS)


def without_scores(spans: object) -> list[dict[str, object]]:
    assert isinstance(spans, list)
    return [{**span, "score": None} for span in spans]


def test_spans_of_texts_are_labelled(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_token_labels(folder, ("O", "B-PER", "I-PER", "B-LOC"))
    longshore = CommandLine(cluster.environment)
    assert longshore("models", "import", folder, "--name", "names").out == "names:1\n"
    shown = longshore("models", "show", "names").out
    assert "target    spans (tokens)\n" in shown
    assert "output    spans\n" in shown
    texts = [f"{text} {'cats ' * (number % 5)}\u00e9 dog" for number, text in enumerate(TEXTS * 20)]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text, "id": number}) + "\n" for number, text in enumerate(texts)))
    job = client.infer("names", data, rows_per_shard=50, aggregation="average", keep=["id"]).wait(TIMEOUT_S)
    results = job.results()
    assert list(job.notes) == ["texts of more than 24 tokens are cut there"]
    wanted = computed(folder, texts, aggregation="average")
    for spans, output in zip(results["spans"].to_pylist(), wanted, strict=True):
        assert without_scores(spans) == without_scores(output["spans"])
    assert results["id"].to_pylist() == list(range(len(texts)))
    assert any(output["spans"] for output in wanted)

    inline = client.infer("names", [*TEXTS, "\0 cat \0"], aggregation="none").wait(TIMEOUT_S).results()
    wanted = computed(folder, [*TEXTS, "\0 cat \0"], aggregation="none")
    assert list(map(without_scores, inline["spans"].to_pylist())) == [without_scores(row["spans"]) for row in wanted]

    written = client.infer("names", data, output=str(tmp_path / "spans/*.parquet")).wait(TIMEOUT_S)
    assert written.state == "succeeded"
    tables = [pa.parquet.read_table(path) for path in (tmp_path / "spans").glob("*.parquet")]
    wanted = computed(folder, texts)
    rows = {row["row"]: row["spans"] for table in tables for row in table.to_pylist()}
    assert [without_scores(rows[number]) for number in range(len(texts))] == [
        without_scores(output["spans"]) for output in wanted
    ]


def test_what_spans_do_not_have_is_refused(client: Client, tmp_path: Path) -> None:
    save_token_labels(tmp_path / "tokens", ("O", "B-PER"))
    save_sentence(tmp_path / "sentence")
    client.models.import_(tmp_path / "tokens", "people")
    client.models.import_(tmp_path / "sentence", "vectors")
    for options in ({"top_k": 2}, {"logits": True}, {"positive": "O"}, {"threshold": 0.3}, {"aggregation": "most"}):
        with pytest.raises(InvalidInput, match=next(iter(options))):
            client.infer("people", TEXTS, **options)
    with pytest.raises(InvalidInput, match=r"^keep: 'spans' is a column of the outputs"):
        client.infer("people", [{"text": "a", "spans": 1}], keep=["spans"])
    with pytest.raises(InvalidInput, match=r"^aggregation: max: only for token classification; the task is embedding"):
        client.infer("vectors", TEXTS, aggregation="max")
    with pytest.raises(InvalidInput, match=r"^model: people:1 gives spans of texts, which evaluations do not measure"):
        client.evaluate("people", [{"text": "a cat", "spans": "x"}])


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert"])
def test_rows_can_be_tokens(client: Client, tmp_path: Path, model_type: str) -> None:
    folder = tmp_path / "model"
    save_model(folder, model_type, head=True)
    name = f"tokens-{model_type}"
    client.models.import_(folder, name)
    texts = [text for text in TEXTS if text and len(text) < 60]
    rows = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_token_type_ids=model_type == "bert")
    assert 0 in rows["attention_mask"][0]
    if model_type == "bert":
        rows["token_type_ids"] = [[number % 2 for number in range(len(ids))] for ids in rows["input_ids"]]
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = network(**{key: torch.tensor(value) for key, value in rows.items()}).logits
    found = client.infer(name, dict(rows), logits=True).wait(TIMEOUT_S).results()
    np.testing.assert_allclose(np.array(found["logits"].to_pylist()), expected.numpy(), atol=1e-5)
    # In one batch with nothing else: what the tokenizer of the version makes of the texts.
    same = client.infer(name, texts, logits=True).wait(TIMEOUT_S).results()
    if model_type != "bert":
        np.testing.assert_allclose(np.array(same["logits"].to_pylist()), expected.numpy(), atol=1e-5)

    good = rows["input_ids"][0]
    wrong: list[dict[str, object]] = [
        {"input_ids": good},
        {"input_ids": []},
        {"input_ids": [2, 999, 3]},
        {"input_ids": [2, -1, 3]},
        {"input_ids": [2, None, 3]},
        {"input_ids": [2] * 25},
        {"input_ids": good, "attention_mask": [1]},
        {"input_ids": good, "attention_mask": [0] + [1] * (len(good) - 1)},
        {"input_ids": good, "token_type_ids": [2] * len(good)},
        {"input_ids": None},
    ]
    empty = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"))
    job = client.infer(name, [{**empty, **row} for row in wrong], max_row_errors=20).wait(TIMEOUT_S)
    assert [row.row for row in job.results()] == [0]
    assert [(error.row, error.message.split(":")[0]) for error in job.errors()] == [
        *((row, "column 'input_ids'") for row in range(1, 6)),
        *((6, "column 'attention_mask'"), (7, "column 'attention_mask'")),
        *((8, "column 'token_type_ids'"), (9, "column 'input_ids'")),
    ]
    with pytest.raises(InvalidInput, match=r"column 'input_ids' has .*, not lists of whole numbers"):
        client.infer(name, {"input_ids": [[0.5, 1.5]]})

    # Those of several callers are planned together, and each has its own rows or its own error.
    requests = [{key: value[row : row + 1] for key, value in rows.items()} for row in range(len(texts))]
    for bad in ([], [{**requests[0], "input_ids": [["a"]]}], [{**requests[0], "attention_mask": [[0.5]]}]):
        made = asyncio.run(submitted_at_once(client, name, [*requests, *bad]))
        logits = [job.wait(TIMEOUT_S).results()["logits"][0].as_py() for job in made if isinstance(job, Job)]
        np.testing.assert_allclose(np.array(logits), expected.numpy(), atol=1e-5)
        assert [str(each).partition(" has")[0] for each in made if not isinstance(each, Job)] == [
            f"data: column '{'input_ids' if row['input_ids'] == [['a']] else 'attention_mask'}'" for row in bad
        ]
        blocks = [job.record().spec["data"] for job in made if isinstance(job, Job)]
        inputs = {str(block["block"]) for block in blocks if isinstance(block, dict)}
        assert len(inputs) == (len(requests) if bad else 1)
