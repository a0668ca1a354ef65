"""An evaluation of a language model measures what transformers and peft write and compute."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.workers.metrics.texts import rouge_l, token_f1
from tests.integration.generation.answers import MODEL, expected, import_model, prompts
from tests.lora_adapters import load_with_peft, save_adapter
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
MAX_TOKENS = 8


class Person(BaseModel):
    name: str


@pytest.fixture(scope="module")
def folder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_model(client, tmp_path_factory.mktemp("models"))


def perplexity(model: torch.nn.Module, folder: Path, texts: list[str], references: list[str]) -> float:
    """By the loss of transformers, row by row."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    cost, count = 0.0, 0
    for text, reference in zip(texts, references, strict=True):
        prompt, target = tokenizer(text).input_ids, tokenizer(reference, add_special_tokens=False).input_ids
        labels = torch.tensor([[-100] * len(prompt) + target])
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([prompt + target]), labels=labels).loss
        cost, count = cost + float(loss) * len(target), count + len(target)
    return math.exp(cost / count)


def test_every_metric_of_generated_texts(client: Client, folder: Path) -> None:
    texts = prompts(24)
    written = expected(folder, texts, MAX_TOKENS)
    # Every third row expects what the model writes, the others something else.
    references = [text if number % 3 == 0 else f"{text[:20]} dog" for number, text in enumerate(written)]
    rows = [{"prompt": text, "answer": reference} for text, reference in zip(texts, references, strict=True)]
    job = client.evaluate(MODEL, rows, "answer", max_tokens=MAX_TOKENS, perplexity=True, worst=3).wait(TIMEOUT_S)
    evaluation = job.evaluation()
    assert (evaluation.task, evaluation.target, evaluation.rows, evaluation.failed) == ("generation", "answer", 24, 0)
    pairs = list(zip(written, references, strict=True))
    assert list(evaluation.metrics) == ["exact_match", "token_f1", "rouge_l", "perplexity"]
    assert evaluation.metrics["exact_match"] >= 1 / 3
    assert evaluation.metrics["token_f1"] == pytest.approx(sum(token_f1(*pair) for pair in pairs) / 24)
    assert evaluation.metrics["rouge_l"] == pytest.approx(sum(rouge_l(*pair) for pair in pairs) / 24)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    assert evaluation.metrics["perplexity"] == pytest.approx(perplexity(plain, folder, texts, references), rel=1e-3)
    for name, (low, high) in evaluation.intervals.items():
        assert low <= evaluation.metrics[name] <= high
    assert len(evaluation.worst) == 3
    for row in evaluation.worst:
        assert (row.target, row.prediction) == (references[row.row][:500], written[row.row][:500])
    # Conditions of promotions see the metrics.
    client.models.promote(f"{MODEL}:1", "measured", if_="exact_match >= 0.3 and perplexity < 1e9")


def test_a_version_with_an_adapter_from_a_file(client: Client, folder: Path, tmp_path: Path) -> None:
    save_adapter(folder, tmp_path / "adapter", seed=5)
    client.models.import_(tmp_path / "adapter", "adapted", base=f"{MODEL}:1")
    texts = prompts(6)
    rows = [{"prompt": text, "answer": ["no such text", f"the {text}"], "max_tokens": 3} for text in texts]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, {"prompt": "", "answer": "x"}]))
    job = client.evaluate("adapted", path, "answer", perplexity=True, max_row_errors=1).wait(TIMEOUT_S)
    evaluation = job.evaluation()
    assert (evaluation.rows, evaluation.failed) == (6, 1)
    adapted = load_with_peft(folder, tmp_path / "adapter")
    value = perplexity(adapted, folder, texts, ["no such text"] * 6)
    assert evaluation.metrics["perplexity"] == pytest.approx(value, rel=1e-3)


def test_the_perplexity_of_texts_with_a_prefix_is_that_of_what_follows(client: Client, folder: Path) -> None:
    texts = prompts(4)
    rows = [{"prompt": text, "prefix": "the cat", "answer": "the cat sat"} for text in texts]
    rows.append({"prompt": texts[0], "prefix": "the cat", "answer": "a dog"})
    job = client.evaluate(MODEL, rows, "answer", max_tokens=3, perplexity=True, bootstrap=0).wait(TIMEOUT_S)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    value = perplexity(plain, folder, [f"{text}the cat" for text in texts], [" sat"] * 4)
    assert job.evaluation().metrics["perplexity"] == pytest.approx(value, rel=1e-3)
    assert "leaves out 1 rows" in " ".join(job.notes)


def test_texts_are_checked_against_a_schema_without_holding_the_model_to_it(client: Client, folder: Path) -> None:
    rows = [{"prompt": text, "answer": "42"} for text in prompts(5)]
    job = client.evaluate(MODEL, rows, "answer", max_tokens=4, schema=Person, bootstrap=0).wait(TIMEOUT_S)
    assert job.evaluation().metrics["json_validity"] == 0.0
    assert job.evaluation().intervals == {}


def test_what_does_not_fit_is_refused(client: Client, folder: Path) -> None:
    rows = [{"prompt": "once", "answer": "upon"}]
    with pytest.raises(InvalidInput, match=rf"^target: required: {MODEL}:1 is a language model"):
        client.evaluate(MODEL, rows)
    with pytest.raises(InvalidInput, match=r"^target: no column 'reply'"):
        client.evaluate(MODEL, rows, "reply")
    with pytest.raises(InvalidInput, match=r"^target: 'prompt' has what"):
        client.evaluate(MODEL, rows, "prompt")
    with pytest.raises(InvalidInput, match=r"^target: column 'answer' holds in row 0: missing"):
        client.evaluate(MODEL, [{"prompt": "once", "answer": None}], "answer")
    with pytest.raises(InvalidInput, match=r"^batch_size: has no effect on language models"):
        client.evaluate(MODEL, rows, "answer", batch_size=4)
    with pytest.raises(InvalidInput, match=r"^data: no column 'prompt'"):
        client.evaluate(MODEL, [{"text": "once", "answer": "upon"}], "answer")
    with pytest.raises(InvalidInput, match=r"^schema: "):
        client.evaluate(MODEL, rows, "answer", schema={"type": "unknown"})
    job = client.evaluate(MODEL, [{"prompt": "once", "answer": "upon"}, {"prompt": "", "answer": "x"}], "answer")
    with pytest.raises(JobFailed, match=r"1 of 2 rows failed, none were allowed; the others have results; row 1: "):
        job.wait(TIMEOUT_S)
    assert job.evaluation().rows == 1
