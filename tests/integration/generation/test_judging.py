"""A judge compares the texts of two versions in both orders."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, UnknownModel, VersionInUse
from longshore.workers.evaluation.judging import QUESTION, VERDICTS
from tests.integration.generation.answers import answers_of, import_model, prompts
from tests.waiting import TIMEOUT_S


@pytest.fixture(scope="module")
def models(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The versions ``one:1``, ``two:1`` and ``judge:1``."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("one", "two", "judge")):
        import_model(client, folder, name, seed=seed)
    return folder


def test_the_win_rate_counts_both_orders(client: Client, models: Path) -> None:
    texts = prompts(16)
    rows = [{"prompt": text} for text in texts]
    job = client.evaluate("one", rows, against="two", judge="judge:1", max_tokens=6).wait(TIMEOUT_S)
    # The same by jobs that generate text.
    first, second = (answers_of(client.generate(name, texts, max_tokens=6).wait(TIMEOUT_S)) for name in ("one", "two"))

    def verdicts(one: list[str], other: list[str]) -> list[float]:
        asked = [
            [{"role": "user", "content": QUESTION.format(request=text, first=a, second=b)}]
            for text, a, b in zip(texts, one, other, strict=True)
        ]
        said = client.generate("judge", asked, choices=list(VERDICTS), max_tokens=16).wait(TIMEOUT_S)
        return [VERDICTS[text] for text in answers_of(said)]

    forward, backward = verdicts(first, second), verdicts(second, first)
    points = [(a + 1 - b) / 2 for a, b in zip(forward, backward, strict=True)]
    evaluation = job.evaluation()
    assert evaluation.metrics == {"win_rate": pytest.approx(sum(points) / len(points))}
    assert (evaluation.rows, evaluation.failed) == (16, 0)
    low, high = evaluation.intervals["win_rate"]
    assert low <= evaluation.metrics["win_rate"] <= high
    assert f"{sum(point == 0.5 for point in points)} are ties" in " ".join(job.notes)


def test_a_version_against_itself_is_a_tie(client: Client, models: Path) -> None:
    rows = [{"prompt": text} for text in prompts(5)]
    job = client.evaluate("one", rows, against="one:1", judge="judge", max_tokens=4).wait(TIMEOUT_S)
    assert job.evaluation().metrics == {"win_rate": 0.5}


def test_what_does_not_fit_is_refused(client: Client, models: Path) -> None:
    rows = [{"prompt": "once", "answer": "upon"}]
    with pytest.raises(InvalidInput, match=r"^judge: required"):
        client.evaluate("one", rows, against="two")
    with pytest.raises(InvalidInput, match=r"^against: required"):
        client.evaluate("one", rows, judge="two")
    with pytest.raises(InvalidInput, match=r"^target: a judge compares two texts"):
        client.evaluate("one", rows, "answer", against="two", judge="judge")
    with pytest.raises(InvalidInput, match=r"^perplexity: not together with judge"):
        client.evaluate("one", rows, against="two", judge="judge", perplexity=True)
    with pytest.raises(UnknownModel, match=r"^judge: "):
        client.evaluate("one", rows, against="two", judge="nobody")
    job = client.evaluate("one", rows, against="two", judge="judge", device="gpu")
    with pytest.raises(VersionInUse, match=str(job.id)):
        client.models.delete("judge:1")
    job.cancel()
