"""Texts that go on where another request has left them: nothing of the outcome shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from longshore.workers.generate.engines.base import (
    BegunText,
    Completion,
    Constraint,
    EngineRequest,
    Sampling,
    TokenLogprob,
)
from longshore.workers.generate.engines.transformers import TransformersEngine
from tests.language_models import save_language_model
from tests.transformers_engines import open_small, run

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
PROMPT = (5, 9, 77, 30, 12)
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["red", "blue"]}},
        "required": ["a", "b"],
    }
)
#: Each option that looks at the tokens before, and how many tokens the first request computes.
OPTIONS: Mapping[str, tuple[Sampling, int]] = {
    "greedy": (Sampling(max_tokens=40), 17),
    "all but one token": (Sampling(max_tokens=40), 39),
    "seed": (Sampling(max_tokens=40, temperature=0.9, top_p=0.95, top_k=50, min_p=0.01, seed=7), 17),
    "repetition": (Sampling(max_tokens=40, repetition_penalty=1.4), 17),
    "presence and frequency": (Sampling(max_tokens=40, presence_penalty=3.0, frequency_penalty=2.0), 17),
    "all together": (
        Sampling(
            max_tokens=40, temperature=1.2, seed=3, repetition_penalty=1.2, presence_penalty=1, frequency_penalty=0.5
        ),
        11,
    ),
    "min_tokens": (Sampling(max_tokens=40, min_tokens=30, temperature=3.0, seed=1), 17),
    "logprobs": (Sampling(max_tokens=40, temperature=0.8, seed=5, logprobs=3), 17),
    "only its own logprobs": (Sampling(max_tokens=40, logprobs=0), 17),
    "schema": (Sampling(max_tokens=60, temperature=0.9, seed=2, constraint=Constraint(json_schema=SCHEMA)), 6),
    "regex": (Sampling(max_tokens=60, constraint=Constraint(regex="[a-c]{8}-[0-9]{8}x")), 9),
    "choices": (Sampling(max_tokens=60, constraint=Constraint(choices=("a small house", "a small horse"))), 2),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    save_language_model(folder)
    return folder


@pytest.fixture(scope="module")
def opened(folder: Path) -> Iterator[TransformersEngine]:
    engine = open_small(folder)
    yield engine
    engine.close()


@pytest.fixture
def engine(opened: TransformersEngine) -> Iterator[TransformersEngine]:
    """Each test leaves it without requests."""
    yield opened
    assert opened.unfinished == 0


def begin(engine: TransformersEngine, request: EngineRequest, tokens: int) -> BegunText:
    """What a request has that is cancelled after so many tokens."""
    engine.add(request)
    started = []
    while len((engine.texts([request.id]).get(request.id) or BegunText(())).tokens) < tokens:
        step = engine.step()
        assert not step.completions
        started += step.started
    text = engine.texts([request.id, 99])[request.id]
    engine.cancel([request.id])
    assert started == [request.id]
    assert engine.texts([request.id]) == {}
    return text


def go_on(engine: TransformersEngine, request: EngineRequest) -> tuple[Completion, int]:
    """The end of a request, and how many tokens were generated for it."""
    engine.add(request)
    generated = 0
    while True:
        step = engine.step()
        assert not step.failures
        generated += step.generated_tokens
        if step.completions:
            return step.completions[0], generated


def check_equal(first: Completion, second: Completion) -> None:
    assert (first.tokens, first.text, first.finish) == (second.tokens, second.text, second.finish)
    for one, other in zip(first.logprobs or (), second.logprobs or (), strict=True):
        assert one.token == other.token
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert [token for token, _ in one.top] == [token for token, _ in other.top]
    assert (first.logprobs is None) == (second.logprobs is None)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_text_goes_on_as_if_nothing_had_happened(engine: TransformersEngine, name: str) -> None:
    sampling, tokens = OPTIONS[name]
    request = EngineRequest(id=1, tokens=PROMPT, sampling=sampling)
    whole = run(engine, [request])[1]
    begun = begin(engine, request, tokens)
    assert begun.tokens == whole.tokens[:tokens]
    # Others share its steps.
    engine.add(EngineRequest(id=50, tokens=(8, 9), sampling=Sampling(max_tokens=100, min_tokens=100)))
    engine.step()
    engine.cancel([50])
    completion, generated = go_on(engine, replace(request, id=2, begun=begun))
    check_equal(completion, whole)
    # With the token that ends a text.
    assert generated == len(whole.tokens) - tokens + (whole.finish == "stop")
    assert completion.cached_tokens <= len(PROMPT)


def test_it_goes_on_twice_and_in_another_engine(folder: Path, engine: TransformersEngine) -> None:
    request = EngineRequest(id=1, tokens=PROMPT, sampling=Sampling(max_tokens=40, temperature=0.9, seed=4, logprobs=1))
    whole = run(engine, [request])[1]
    first = begin(engine, request, 9)
    second = begin(engine, replace(request, begun=first), 20)
    assert second.tokens == whole.tokens[:20]
    assert len(second.logprobs or ()) == 20
    other = open_small(folder, prefix_caching=False)
    check_equal(run(other, [replace(request, begun=second)])[1], whole)
    other.close()


def test_a_stop_text_that_begins_before_and_ends_after_is_found(folder: Path, engine: TransformersEngine) -> None:
    whole = run(engine, [EngineRequest(id=0, tokens=PROMPT, sampling=Sampling(max_tokens=60))])[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pieces = [str(tokenizer.decode([token])) for token in whole.tokens]
    at = next(
        at
        for at in range(4, 50)
        if pieces[at].isascii() and pieces[at + 1].isascii() and min(len(pieces[at]), len(pieces[at + 1])) > 1
    )
    sampling = Sampling(max_tokens=60, stop=("nowhere in it", pieces[at][1:] + pieces[at + 1][:1]))
    request = EngineRequest(id=1, tokens=PROMPT, sampling=sampling)
    stopped = run(engine, [request])[1]
    begun = begin(engine, request, at + 1)
    completion, generated = go_on(engine, replace(request, begun=begun))
    check_equal(completion, stopped)
    assert (completion.finish, generated) == ("stop", 1)


def test_a_streamed_text_begins_with_what_it_has(engine: TransformersEngine) -> None:
    request = EngineRequest(id=1, tokens=PROMPT, sampling=Sampling(max_tokens=12, min_tokens=12), streamed=True)
    begun = begin(engine, request, 5)
    engine.add(replace(request, begun=begun))
    streamed: list[int] = []
    while not (step := engine.step()).completions:
        streamed += step.new_tokens[1]
    assert streamed == list(step.completions[0].tokens[:-1])


WRONG: Mapping[str, tuple[Sampling, BegunText]] = {
    "none": (Sampling(max_tokens=8), BegunText(())),
    "as many as it may have": (Sampling(max_tokens=8), BegunText((5,) * 8)),
    "not in the vocabulary": (Sampling(max_tokens=8), BegunText((5, 1 << 20))),
    "below zero": (Sampling(max_tokens=8), BegunText((5, -1))),
    "without log probabilities": (Sampling(max_tokens=8, logprobs=1), BegunText((5, 6))),
    "with those of others": (
        Sampling(max_tokens=8, logprobs=0),
        BegunText((5, 6), (TokenLogprob(5, 0.0), TokenLogprob(7, 0.0))),
    ),
    "not as the constraint asks": (
        Sampling(max_tokens=8, constraint=Constraint(regex="[0-9]{9}")),
        BegunText((70, 71)),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_it_cannot_have_begun_with_is_computed_anew(engine: TransformersEngine, name: str) -> None:
    sampling, begun = WRONG[name]
    request = EngineRequest(id=1, tokens=PROMPT, sampling=sampling)
    whole = run(engine, [request])[1]
    completion, generated = go_on(engine, replace(request, begun=begun))
    check_equal(completion, whole)
    assert generated >= len(whole.tokens)
