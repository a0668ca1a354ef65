"""Training on texts, from the client's call to the row in Postgres."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer as Loaded

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.store.manifest import Manifest
from longshore.workers.runtimes.family import build_module
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.text_models import save_model
from tests.topics import make_texts
from tests.waiting import TIMEOUT_S

SMALL = {"embedding": 16, "hidden_size": 16, "pooling": "max"}
#: What learns the topics in a few seconds.
FAST = {"learning_rate": 0.01, "batch_size": 16, "epochs": 6}


def write(path: Path, rows: int, seed: int) -> Path:
    """Texts as people have them: some with commas, quotes and line breaks, and a column that says nothing."""
    texts, labels = make_texts(rows, seed)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "title", "topic"])
        lines.writerows(
            [n, f'{text} "so,\nthen"', label] for n, (text, label) in enumerate(zip(texts, labels, strict=True))
        )
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("texts")
    return write(folder / "train.csv", 300, 0), write(folder / "test.csv", 90, 1)


@pytest.fixture(scope="module")
def trained(cluster: Cluster, files: tuple[Path, Path]) -> Job:
    """topics:1."""
    options = {**FAST, "tokenizer": {"length": 24}, "config": SMALL, "test": str(files[1])}
    with cluster.client() as client:
        return client.train("topics", "rnn", str(files[0]), "topic", features=["title"], **options).wait(TIMEOUT_S)  # type: ignore[arg-type]


def computed(client: Client, reference: str, texts: Sequence[str], folder: Path) -> list[str]:
    """The labels that a plain forward pass over an exported version gives, one text after the other."""
    exported = client.models.export(reference, folder)
    manifest = Manifest.parse((exported / "manifest.json").read_bytes())
    tokenizer = Loaded.from_str((exported / "tokenizer.json").read_text())
    module = build_module(manifest, exported / "weights.safetensors")
    found = []
    for text in texts:
        ids = tokenizer.encode(text).ids[: manifest.signature.width] or [0]
        with torch.inference_mode():
            found.append(str((manifest.signature.labels or ())[int(module(torch.tensor([ids]).float()).argmax())]))
    return found


def test_texts_are_learned_and_classified_in_order(
    cluster: Cluster, client: Client, files: tuple[Path, Path], trained: Job, tmp_path: Path
) -> None:
    metrics = {metric.name: metric.value for metric in trained.metrics()}
    assert metrics["test_accuracy"] > 0.9
    version = client.models.get("topics:1")
    assert version.manifest["signature"]["features"] == [  # type: ignore[index,call-overload]
        {"name": "title", "width": 24, "kind": "text", "shape": None}
    ]
    found = client.evaluate("topics:1", str(files[1])).wait(TIMEOUT_S).evaluation()
    assert found.metrics["accuracy"] == pytest.approx(metrics["test_accuracy"])

    texts = [*make_texts(60, seed=2)[0], "", "nothing of it known", "moon " * 50]
    wanted = computed(client, "topics:1", texts, tmp_path / "exported")
    job = client.infer("topics:1", {"title": [*texts[:10], None, *texts[10:]], "id": list(range(len(texts) + 1))})
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    assert [(error.row, error.message) for error in job.errors()] == [(10, "column 'title': null")]
    results = job.results()
    assert results["row"].to_pylist() == [row for row in range(len(texts) + 1) if row != 10]
    assert results["label"].to_pylist() == wanted
    # A list of strings is the one column of text, whatever it is called.
    plain = client.infer("topics:1", texts, rows_per_shard=17).wait(TIMEOUT_S)
    assert plain.results()["label"].to_pylist() == wanted
    with pytest.raises(InvalidInput, match="data: no column 'title'; the data has 'name'"):
        client.infer("topics:1", [{"name": "a"}])

    longshore = CommandLine(cluster.environment)
    shown = longshore("models", "show", "topics:1").out.splitlines()
    assert ["features", "title", "(24)"] in [line.split() for line in shown]
    again = longshore(
        *("train", files[0], "--model", "topics-cli", "--family", "rnn", "--target", "topic", "--features", "title"),
        *("--tokenizer", "kind=bpe", "--tokenizer", "vocabulary=300", "--epochs", "1", "--wait"),
    )
    assert again.code == 0, again.err
    assert client.models.get("topics-cli").manifest["config"]["vocabulary"] == 300  # type: ignore[index,call-overload]


def test_a_version_of_texts_can_be_carried_elsewhere(client: Client, trained: Job, tmp_path: Path) -> None:
    digest = client.models.get("topics:1").digest
    folder = client.models.export("topics:1", tmp_path / "topics")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "tokenizer.json", "weights.safetensors"]
    assert client.models.import_(folder, "carried").digest == digest
    assert client.models.import_(client.models.export("topics:1", tmp_path / "topics.h5"), "carried").digest == digest
    texts = make_texts(20, seed=3)[0]
    labels = [
        client.infer(name, texts).wait(TIMEOUT_S).results()["label"].to_pylist() for name in ("topics:1", "carried")
    ]
    assert labels[0] == labels[1]
    with pytest.raises(InvalidInput, match="format: PyTorch cannot write family 'rnn' as onnx"):
        client.models.export("topics:1", tmp_path / "topics.onnx")
    (folder / "tokenizer.json").write_text("[]")
    with pytest.raises(InvalidInput, match=r"path: tokenizer\.json is not a JSON object"):
        client.models.import_(folder, "carried")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InvalidInput, match=r"path: cannot read .*tokenizer\.json"):
        client.models.import_(folder, "carried")


def tokenizer_of(client: Client, reference: str) -> object:
    return client.models.get(reference).manifest["tokenizer"]


def test_ids_keep_their_meaning(client: Client, files: tuple[Path, Path], trained: Job, tmp_path: Path) -> None:
    texts, labels = make_texts(120, seed=5)
    other = pa.table({"title": [f"Unheard {text}" for text in texts], "topic": labels})
    based = client.train("based", "rnn", other, "topic", features=["title"], base="topics:1", epochs=1).wait(TIMEOUT_S)
    assert tokenizer_of(client, "based:1") == tokenizer_of(client, "topics:1")
    accuracy = next(metric.value for metric in based.metrics() if metric.name == "val_accuracy")
    assert accuracy > 0.9
    small = {"embedding": 8, "hidden_size": 8, "pooling": "max"}
    client.train("taught", "rnn", other, "topic", teacher="topics:1", config=small, **FAST).wait(TIMEOUT_S)  # type: ignore[arg-type]
    assert tokenizer_of(client, "taught:1") == tokenizer_of(client, "topics:1")
    # A transformer that uses the words of an rnn, with another length.
    config = {"d_model": 16, "nhead": 2, "num_layers": 1, "dim_feedforward": 16}
    options = {**FAST, "epochs": 2, "tokenizer": {"version": "topics:1", "length": 12}}
    client.train("borrowed", "transformer", other, "topic", config=config, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    assert tokenizer_of(client, "borrowed:1") == tokenizer_of(client, "topics:1")
    found = client.infer("borrowed:1", texts[:5]).wait(TIMEOUT_S).results()
    assert found["label"].to_pylist() == computed(client, "borrowed:1", texts[:5], tmp_path / "borrowed")

    # Others can run it on ids.
    tokenizer = Loaded.from_str((tmp_path / "borrowed" / "tokenizer.json").read_text())
    tokenizer.enable_truncation(12)
    tokenizer.enable_padding(length=12, pad_id=0)
    ids = np.array([each.ids for each in tokenizer.encode_batch(texts[:5])], np.float32)
    program = onnxruntime.InferenceSession(client.models.export("borrowed:1", tmp_path / "borrowed.onnx"))
    logits = client.infer("borrowed:1", texts[:5], logits=True).wait(TIMEOUT_S).results()["logits"].to_pylist()
    np.testing.assert_allclose(program.run(None, {"input": ids})[0], np.array(logits), atol=1e-4)

    save_model(tmp_path / "bert", head=True, id2label={0: "a", 1: "b"})
    client.models.import_(tmp_path / "bert", "bert")
    client.train("pieces", "rnn", other, "topic", tokenizer="bert:1", config=SMALL, **FAST).wait(TIMEOUT_S)  # type: ignore[arg-type]
    files_of = client.models.get("bert:1").manifest["files"]
    assert isinstance(files_of, dict)
    assert tokenizer_of(client, "pieces:1") == files_of["tokenizer.json"]


def test_trials_folds_and_chains_read_texts(client: Client, files: tuple[Path, Path]) -> None:
    data, options = str(files[0]), {**FAST, "features": ["title"], "config": SMALL}
    space = {"config.pooling": ["mean", "max"]}
    tuned = client.tune("tuned", "rnn", data, "topic", space, sampler="grid", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    assert len(tuned.trials()) == 2
    last = (
        tuned.then.evaluate(str(files[1]))
        .then.promote("best", if_="accuracy > 0.8")
        .then.infer([{"title": "the moon"}])
    )
    assert last.wait(TIMEOUT_S).results()["label"].to_pylist() == ["sky"]
    folds = client.cross_validate("folded", "rnn", data, "topic", folds=2, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    outcome = folds.record().outcome
    assert outcome is not None
    assert outcome["metrics"]["val_accuracy"] > 0.8  # type: ignore[index,call-overload,operator]


def test_what_does_not_go_together_is_refused_at_the_call(
    client: Client, files: tuple[Path, Path], trained: Job
) -> None:
    data = str(files[0])

    def refused(said: str, family: str = "rnn", given: object = data, **options: object) -> None:
        with pytest.raises(InvalidInput, match=said):
            client.train("m", family, given, "topic", **{"features": ["title"], **options})  # type: ignore[arg-type]

    refused(r"^preprocess: family 'rnn' reads a text as tokens, and no other columns", preprocess={"title": "text"})
    refused(r"^features: 'title' of 2 columns have text; a text must be the only feature", features=["id", "title"])
    refused(r"^tokenizer: family 'mlp' reads no texts; leave it out, or use rnn, transformer", "mlp", tokenizer={})
    refused(r"^tokenizer: the features are no texts", features=["id"], config={"vocabulary": 400}, tokenizer={})
    refused(r"^tokenizer: unknown key size", tokenizer={"size": 3})
    refused(r"^config.vocabulary: 50: it follows from the tokenizer", config={"vocabulary": 50})
    refused(r"^config.input_shape: texts have no numbers", config={"input_shape": [2, 3]})
    refused(
        r"^config.token_types: 2: only for rows that are already tokenised", "transformer", config={"token_types": 2}
    )
    refused(r"^stream: texts are held in memory", stream=True)
    refused(r"^tokenizer: topics:1 brings its own", base="topics:1", tokenizer={"kind": "bpe"})
    holed = {"title": ["a", None, "b"], "topic": ["x", "y", "x"]}
    refused(r"^data: row 1: column 'title': null; correct or remove it", given=holed)
    with pytest.raises(InvalidInput, match=r"^space.config.vocabulary: 9 is not valid: .*follows from the tokenizer"):
        client.tune("m", "rnn", data, "topic", {"config.vocabulary": [9]}, features=["title"])
    client.train("numbers", "mlp", {"a": np.arange(8), "y": ["x", "y"] * 4}, "y", epochs=1).wait(TIMEOUT_S)
    refused(r"^tokenizer: numbers:1 reads no texts, so has none", tokenizer="numbers:1")
