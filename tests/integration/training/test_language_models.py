"""Training of language models, from the client's call to a folder that transformers loads."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.store.manifest import Manifest
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.seq2seq_models import save_seq2seq_model
from tests.waiting import TIMEOUT_S, wait_until

# peft asks transformers for properties under names that they had before.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

#: Every sentence is one of these, so that a small network learns to write them.
ANIMALS = ("cat", "dog", "bird", "horse", "mouse", "fox")
PLACES = ("house", "river", "garden", "mountain", "forest", "sea")
CONFIG: dict[str, object] = {"n_layers": 2, "d_model": 64, "n_heads": 4, "n_kv_heads": 2, "context": 64}
OPTIONS: dict[str, object] = {
    **{"config": CONFIG, "tokenizer": {"vocabulary": 300}, "learning_rate": 0.003, "epochs": 8, "batch_size": 8},
    "seed": 3,
}
#: Rows of calls that are refused.
TEXTS, NUMBERS = {"text": ["a"]}, {"x": [1.0], "y": [1.0]}
MESSAGES = {"messages": [[{"role": "user", "content": "a"}], [{"content": "a"}]]}
QUESTION = '[{"role": "user", "content": "a"}]'
PREFERENCES = {"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}
#: What a training of preferences has besides.
PREFERRED: dict[str, object] = {"task": "preference", "base": "chat:1"}


def sentence(draw: random.Random) -> str:
    return f"the {draw.choice(ANIMALS)} went to the {draw.choice(PLACES)} and saw a {draw.choice(ANIMALS)}."


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": sentence(draw), "id": number}) + "\n" for number in range(400)))
    return path


@pytest.fixture(scope="module")
def trained(cluster: Cluster, texts: Path) -> Job:
    """tiny:1."""
    with cluster.client() as client:
        return train(client, "tiny", "causal_lm", str(texts), "text", test=0.1, **OPTIONS).wait(TIMEOUT_S)


@pytest.fixture(scope="module")
def pairs() -> list[dict[str, object]]:
    draw = random.Random(1)
    rows: list[dict[str, object]] = []
    for _ in range(120):
        animal = draw.choice(ANIMALS)
        rows.append({"prompt": f"where is the {animal}?", "completion": f" in the {PLACES[ANIMALS.index(animal)]}."})
    return rows


def train(client: Client, model: str, family: str, data: object, target: str, **options: object) -> Job:
    return client.train(model, family, data, target, **options)  # type: ignore[arg-type]


def files_of(client: Client, job: Job) -> dict[str, str]:
    """The digest of each file of the version that a job has made."""
    outcome = job.record().outcome
    assert outcome is not None
    manifest = Manifest.model_validate(client.models.get(f"{outcome['model']}:{outcome['version']}").manifest)
    return {path: blob.digest for path, blob in manifest.files.items()}


def measured(job: Job) -> dict[tuple[int, str], float]:
    return {(each.step, each.name): each.value for each in job.metrics() if not each.name.startswith("step/")}


def mean_loss(folder: Path, documents: list[str]) -> float:
    """The loss of a token by transformers' own computation, one document at a time and without blocks."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    total, count = 0.0, 0
    for document in documents:
        ids = torch.tensor([[*tokenizer(document)["input_ids"], tokenizer.eos_token_id]])
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss
        total, count = total + float(loss) * (ids.shape[1] - 1), count + ids.shape[1] - 1
    return total / count


def test_a_small_model_learns_and_writes(client: Client, trained: Job, tmp_path: Path) -> None:
    metrics = {metric.name: metric.value for metric in trained.metrics()}
    assert metrics["test_perplexity"] == pytest.approx(math.exp(metrics["test_loss"]))
    assert metrics["test_perplexity"] < 3, "of 300 that a uniform guess has"
    version = client.models.get("tiny:1")
    assert version.manifest["runtime"] == "huggingface"
    assert version.manifest["signature"]["task"] == "generation"  # type: ignore[index,call-overload]
    folder = client.models.export("tiny:1", tmp_path / "tiny")
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert type(model).__name__ == "LlamaForCausalLM"
    ids = tokenizer("the cat went to the", return_tensors="pt")
    written = tokenizer.decode(model.generate(**ids, max_new_tokens=24, do_sample=False)[0], skip_special_tokens=True)
    _, _, place, *rest = written.removeprefix("the cat went").split(" ")
    assert place == "the"
    assert rest[0] in PLACES
    assert written.endswith(".")
    assert any("tokens of 320 texts" in note for note in trained.notes)


def test_the_loss_is_that_of_each_text_alone(
    cluster: Cluster, client: Client, texts: Path, trained: Job, tmp_path: Path
) -> None:
    held_out = [json.loads(line)["text"] for line in texts.read_text().splitlines()[:30]]
    rows = {"text": held_out}
    options = {**OPTIONS, "validation": rows, "epochs": 2, "keep_checkpoints": 0}
    job = train(client, "measured", "causal_lm", str(texts), "text", **options).wait(TIMEOUT_S)
    metrics = {metric.name: metric.value for metric in job.metrics()}
    assert metrics["val_loss"] == pytest.approx(
        mean_loss(client.models.export("measured:1", tmp_path / "packed"), held_out), abs=1e-5
    )
    alone = {**options, "config": {**CONFIG, "packing": False}}
    job = train(client, "measured", "causal_lm", str(texts), "text", **alone).wait(TIMEOUT_S)
    metrics = {metric.name: metric.value for metric in job.metrics()}
    folder = client.models.export("measured:2", tmp_path / "alone")
    assert metrics["val_loss"] == pytest.approx(mean_loss(folder, held_out), abs=1e-5)


def test_text_files_are_documents(client: Client, texts: Path, tmp_path: Path) -> None:
    documents = [json.loads(line)["text"] for line in texts.read_text().splitlines()]
    (tmp_path / "tales.txt").write_text("\n\n".join(documents))
    options: Any = {**OPTIONS, "epochs": 1}
    first = client.train("lines", family="causal_lm", data=tmp_path / "tales.txt", task="language_model", **options)
    folder = tmp_path / "tales"
    folder.mkdir()
    for number, document in enumerate(documents):
        (folder / f"{number:03}.txt").write_text(document)
    second = client.train("files", family="causal_lm", data=folder, **options)
    expected = train(client, "table", "causal_lm", str(texts), "text", **options).wait(TIMEOUT_S)
    for job in (first, second):
        assert files_of(client, job.wait(TIMEOUT_S)) == files_of(client, expected)
    (folder / "007.txt").write_bytes("é".encode("latin-1"))
    for family, data, said in (
        ("causal_lm", folder, r"^data: .*007\.txt: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("mlp", texts, "^target: required, but missing: name the column to predict"),
    ):
        with pytest.raises(InvalidInput, match=said):
            client.train("bad", family=family, data=data)


def killed(cluster: Cluster, submit: Callable[[], Job]) -> Job:
    """A training whose worker's child is killed after its first checkpoint, and which has gone on from there."""
    job = submit()
    wait_until(lambda: cluster.ledger.checkpoints.newest(job.id) is not None, "a checkpoint", TIMEOUT_S)
    for pid in cluster.child_pids():
        os.kill(pid, signal.SIGKILL)
    assert job.state is not State.SUCCEEDED
    job.wait(TIMEOUT_S)
    assert job.shards()[0].attempt == 2
    return job


def test_a_killed_training_ends_with_the_same_bits(cluster: Cluster, client: Client, texts: Path) -> None:
    options = {**OPTIONS, "config": {**CONFIG, "dropout": 0.1}, "epochs": 30, "checkpoint_seconds": None}

    def submit(name: str, steps: int | None) -> Job:
        return train(
            client,
            name,
            "causal_lm",
            str(texts),
            "text",
            **{**options, "checkpoint_seconds": None, "checkpoint_steps": steps},
        )

    job = killed(cluster, lambda: submit("killed", 37))
    undisturbed = submit("whole", None).wait(TIMEOUT_S)
    assert files_of(client, job) == files_of(client, undisturbed)
    assert measured(job) == measured(undisturbed)
    first = train(client, "first", "causal_lm", str(texts), "text", **{**options, "epochs": 28}).wait(TIMEOUT_S)
    assert files_of(client, first.extend(2).wait(TIMEOUT_S)) == files_of(client, undisturbed)


def test_an_adapter_learns_beside_its_base(
    cluster: Cluster, client: Client, trained: Job, pairs: list[dict[str, object]], tmp_path: Path
) -> None:
    config = {"rank": 8, "dropout": 0.05, "gradient_checkpointing": True}
    options = {"base": "tiny", "config": config, "learning_rate": 0.01, "epochs": 12, "batch_size": 4}

    def submit(name: str, steps: int | None) -> Job:
        return train(
            client,
            name,
            "lora",
            pairs,
            "completion",
            **{**options, "checkpoint_seconds": None, "checkpoint_steps": steps},
        )

    job = killed(cluster, lambda: submit("adapted", 20))
    undisturbed = submit("beside", None).wait(TIMEOUT_S)
    files, base = files_of(client, job), files_of(client, trained)
    assert files == files_of(client, undisturbed)
    assert {path: digest for path, digest in files.items() if not path.startswith("adapter/")} == base
    assert {path for path in files if path.startswith("adapter/")} == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    }
    version = client.models.get("adapted:1")
    assert version.manifest["lineage"]["base"] == "tiny:1"  # type: ignore[index,call-overload]
    metrics = measured(job)
    assert metrics[12, "train_loss"] < 0.5 * metrics[1, "train_loss"]
    base_folder = client.models.export("tiny:1", tmp_path / "tiny")
    folder = client.models.export("adapted:1", tmp_path / "adapted")
    assert json.loads((folder / "adapter_config.json").read_text())["target_modules"]
    tokenizer: Any = AutoTokenizer.from_pretrained(base_folder)
    ids = tokenizer("where is the fox?", return_tensors="pt")
    before = AutoModelForCausalLM.from_pretrained(base_folder)(**ids).logits
    adapted: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), folder)
    after = adapted(**ids).logits
    assert (after - before).abs().max() > 0.1
    text = tokenizer.decode(adapted.generate(**ids, max_new_tokens=16, do_sample=False)[0], skip_special_tokens=True)
    [place] = re.findall(r"^where is the fox\? in the (\w+)\.$", text)
    assert place in PLACES
    merged_folder = client.models.export("adapted:1", tmp_path / "merged", merged=True)
    for merged in (AutoModelForCausalLM.from_pretrained(merged_folder), adapted.merge_and_unload()):
        assert (merged(**ids).logits - after).abs().max() < 1e-5 * after.abs().max()
    answers = client.generate("adapted:1", ["where is the fox?"], max_tokens=16).wait(TIMEOUT_S).results().texts
    assert answers == [text.removeprefix("where is the fox?")]


def test_a_model_is_trained_on(
    client: Client, trained: Job, pairs: list[dict[str, object]], texts: Path, tmp_path: Path
) -> None:
    rows = [
        {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
        for row in pairs
    ]
    options = {"base": "tiny:1", "learning_rate": 0.003, "epochs": 20, "early_stopping": 10}
    job = train(client, "chat", "causal_lm", rows, "messages", **options).wait(TIMEOUT_S)
    files, base = files_of(client, job), files_of(client, trained)
    assert {path for path in base if files[path] != base[path]} == {"model.safetensors"}
    folder = client.models.export("chat:1", tmp_path / "chat")
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": "where is the cat?"}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**ids, max_new_tokens=16, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert tokenizer.decode(written) == " in the house.<|im_end|>"
    known = {**OPTIONS, "tokenizer": "tiny:1", "epochs": 1}
    again = train(client, "again", "causal_lm", str(texts), "text", **known)
    assert files_of(client, again.wait(TIMEOUT_S))["tokenizer.json"] == base["tokenizer.json"]


def test_a_killed_training_of_preferences_ends_with_the_same_bits(
    cluster: Cluster, client: Client, trained: Job, pairs: list[dict[str, object]]
) -> None:
    """Each attempt computes the probabilities of the base again."""
    rows = [{"question": row["prompt"], "better": row["completion"], "worse": " on the moon."} for row in pairs]
    options = {
        **{"base": "tiny:1", "task": "preference", "features": ["question"], "rejected": "worse", "epochs": 8},
        **{"config": {"rank": 4, "dropout": 0.1}, "batch_size": 4, "accumulate": 2, "learning_rate": 0.003},
        "checkpoint_seconds": None,
    }
    job = killed(cluster, lambda: train(client, "kind", "lora", rows, "better", **options, checkpoint_steps=19))
    undisturbed = train(client, "kinder", "lora", rows, "better", **options, checkpoint_steps=None).wait(TIMEOUT_S)
    assert files_of(client, job) == files_of(client, undisturbed)
    metrics = measured(job)
    assert metrics == measured(undisturbed)
    assert metrics[8, "val_reward_accuracy"] == 1
    assert metrics[8, "val_chosen_reward"] > 0 > metrics[8, "val_rejected_reward"]
    assert metrics[8, "val_loss"] < metrics[1, "val_loss"] < math.log(2)
    long = [{"prompt": "where is the fox? " * 9, "chosen": " here", "rejected": " there"}] * 9
    failing = train(client, "failing", "lora", long, "chosen", base="tiny:1", task="preference")
    with pytest.raises(JobFailed, match=r"data: row 0: its prompt and the longer answer have \d+ tokens more than"):
        failing.wait(TIMEOUT_S)
    for changed, message in (
        ({"rejected": "better"}, "rejected: 'better': it is the prompt or the target"),
        ({"rejected": "bad"}, "rejected: the data has no column 'bad'"),
        ({"features": None}, "features: the data has no column 'prompt'"),
        ({"features": []}, "features: empty: name the one column of the prompts"),
        ({"config": {"packing": True}}, "config.packing: true: of preferences"),
        ({"loss": "mse"}, "loss: mse is for regression, and the task is preference; use dpo"),
        ({"delta": 2.0}, "delta: 2.0: it is of the loss huber; dpo has label_smoothing, beta"),
        ({"metrics": ["perplexity"]}, "metrics: 'perplexity' is not a metric for preferences"),
        (
            {"task": "language_model", "rejected": "rejected", "truncate_prompt": True},
            "truncate_prompt: True: only for",
        ),
    ):
        with pytest.raises(InvalidInput) as error:
            train(client, "refused", "lora", rows, "better", **{**options, **changed})
        assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("family", "rows", "target", "options", "message"),
    [
        ("lora", TEXTS, "text", {}, "base: required, but missing: an adapter adapts a version"),
        ("lora", TEXTS, "text", {"base": "sums"}, "base: sums has the task regression; name a language model"),
        ("causal_lm", TEXTS, "body", {}, "target: the data has no column 'body'; it has text"),
        ("causal_lm", {"text": [1.5]}, "text", {}, "target: column 'text' holds one number per row"),
        ("causal_lm", {"text": ["a", None]}, "text", {}, "data: row 1: column 'text' has no value"),
        ("causal_lm", {"completion": ["a"]}, "completion", {}, "features: the data has no column 'prompt'"),
        ("causal_lm", TEXTS, "text", {"task": "regression"}, "task: 'regression': family 'causal_lm' has the tasks"),
        ("mlp", NUMBERS, "y", {"task": "language_model"}, "task: 'language_model': family 'mlp' writes no text"),
        ("causal_lm", TEXTS, "text", {"devices": 2}, "devices: 2: family 'causal_lm' trains a language model"),
        ("causal_lm", TEXTS, "text", {"config": {"n_heads": 5}}, "config.n_heads: 5 does not divide d_model"),
        ("causal_lm", TEXTS, "text", {"config": {"n_kv_heads": 4}}, "config.n_kv_heads: 4 does not divide n_heads"),
        ("causal_lm", TEXTS, "text", {"config": {"heads": 4}}, "config.heads: unknown option"),
        ("lora", TEXTS, "text", {"base": "chat:1", "rank": 8}, "rank: 8: family 'lora' has it in config; give it as"),
        ("lora", TEXTS, "text", {"base": "chat:1", "alpha": 32}, "alpha: 32: family 'lora' has it in config"),
        ("causal_lm", TEXTS, "text", {"tokenizer": {"kind": "words"}}, "tokenizer: kind 'words': any text"),
        ("causal_lm", TEXTS, "text", {"tokenizer": {"vocabulary": 10}}, "tokenizer: vocabulary 10: all bytes"),
        ("causal_lm", TEXTS, "text", {"metrics": ["f1"]}, "metrics: 'f1' is not a metric for language models"),
        ("causal_lm", MESSAGES, "messages", {}, "data: row 1: messages[0].role: missing"),
        ("causal_lm", PREFERENCES, "chosen", {"task": "preference"}, "base: required, but missing: preferences change"),
        ("lora", PREFERENCES, "chosen", {**PREFERRED, "base": "sums"}, "base: sums has the task regression"),
        ("mlp", PREFERENCES, "chosen", {"task": "preference"}, "task: 'preference': family 'mlp' writes no text"),
        (
            "lora",
            PREFERENCES,
            "chosen",
            {**PREFERRED, "label_smoothing": 0.5},
            "label_smoothing: 0.5: of dpo it is less",
        ),
        ("lora", TEXTS, "text", {"base": "chat:1", "beta": 0.1}, "beta: 0.1: family 'lora' trains a language model"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_the_call(
    client: Client,
    sums: Job,
    family: str,
    rows: dict[str, list[object]],
    target: str,
    options: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(InvalidInput) as refused:
        train(client, "refused", family, rows, target, **options)
    assert str(refused.value).startswith(message)


@pytest.fixture(scope="module")
def sums(cluster: Cluster) -> Job:
    rows = {"x": [float(x) for x in range(20)], "y": [2.0 * x for x in range(20)]}
    with cluster.client() as client:
        return train(client, "sums", "linear", rows, "y", epochs=1, task="regression").wait(TIMEOUT_S)


@pytest.mark.parametrize(
    ("rows", "target", "options", "message"),
    [
        (
            {"prompt": ["a b c d e f g h i j k l m n"] * 9, "completion": ["o"] * 9},
            "completion",
            {"config": {"context": 8}},
            "data: the prompts of its rows fill config.context, 8; give a larger one",
        ),
        (
            {"messages": ['[{"role": "user", "content": "a"}]'] * 9},
            "messages",
            {},
            "data: row 0: no message of the role",
        ),
        ({"text": ["a b c"] * 9}, "text", {"config": {"target_modules": ["query"]}}, "config.target_modules: 'query'"),
    ],
)
def test_what_a_worker_cannot_train_fails_once(
    client: Client, trained: Job, rows: dict[str, list[object]], target: str, options: dict[str, object], message: str
) -> None:
    job = train(client, "failing", "lora", rows, target, base="tiny:1", **options)
    with pytest.raises(JobFailed) as failed:
        job.wait(TIMEOUT_S)
    assert message in str(failed.value)
    assert job.shards()[0].attempt == 1


def test_an_encoder_with_a_decoder_is_refused_at_the_call(client: Client, tmp_path: Path) -> None:
    for model_type in ("t5", "bart"):
        save_seq2seq_model(tmp_path / model_type, model_type)
        client.models.import_(tmp_path / model_type, model_type)
        for family, rows, target, task in (
            ("lora", TEXTS, "text", "language_model"),
            ("causal_lm", TEXTS, "text", "language_model"),
            ("causal_lm", PREFERENCES, "chosen", "preference"),
        ):
            with pytest.raises(InvalidInput, match=f"^base: {model_type} is an encoder with a decoder; only decoders"):
                train(client, "refused", family, rows, target, base=model_type, task=task)


def test_a_context_over_that_of_the_base_is_refused_at_the_call(client: Client, trained: Job) -> None:
    with pytest.raises(InvalidInput, match=r"^config\.context: 99: tiny:1 reads at most 64 tokens; give less"):
        train(client, "refused", "lora", TEXTS, "text", base="tiny:1", config={"context": 99})


def test_a_search_trains_no_language_model(client: Client) -> None:
    with pytest.raises(InvalidInput, match=r"^family: 'causal_lm': language models are trained by one job; use train"):
        client.tune("refused", "causal_lm", TEXTS, "text", {"learning_rate": [0.1, 0.01]})
