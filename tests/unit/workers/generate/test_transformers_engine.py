"""What a request asks of the engine on transformers, and that it leaves nothing behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.workers.generate.engines.base import Constraint, EngineRequest, Sampling
from longshore.workers.generate.engines.draws import Filters, uniform
from longshore.workers.generate.engines.texts.stop_texts import StopTexts
from longshore.workers.generate.engines.transformers import TransformersEngine
from tests.language_models import save_language_model
from tests.transformers_engines import END, add_all, finish, open_small, prompts_of, run

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
PROMPT = [5, 9, 77, 30, 12]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    save_language_model(folder)
    return folder


@pytest.fixture
def engine(folder: Path) -> Iterator[TransformersEngine]:
    engine = open_small(folder)
    yield engine
    engine.close()


def free_bytes(engine: TransformersEngine) -> int:
    """Room for new requests: what is free, and what is kept for later requests with equal beginnings."""
    cache = engine._batcher.cache
    kept = sum(len(each.ledger.cached_blocks) * each.bytes_per_block for each in cache.cache_allocators.values())
    return int(cache.compute_free_capacity(relative=False)) + kept


def request(number: int, tokens: list[int] = PROMPT, **sampling: object) -> EngineRequest:
    return EngineRequest(id=number, tokens=tokens, sampling=Sampling(**{"max_tokens": 20, **sampling}))  # type: ignore[arg-type]


def border_distance(folder: Path, request: EngineRequest, first: Sequence[int], second: Sequence[int]) -> float:
    """Where two texts begin to differ: how far the random number is from one with which another token is drawn.

    Batches of other sizes are rounded otherwise, so that a number that is as near as that can choose either.
    """
    at = next(at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    module = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits = module(torch.tensor([[*request.tokens, *first[:at]]])).logits[:, -1]
    sampling = request.sampling
    filters = Filters(sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)
    borders = filters.apply(logits)[0].double().softmax(0).cumsum(0)
    assert sampling.seed is not None
    return float((borders - uniform(sampling.seed, at)).abs().min())


def test_seeded_texts_do_not_depend_on_the_batch(folder: Path) -> None:
    requests = [
        request(number, tokens, temperature=0.9, top_p=0.95, seed=number % 3)
        for number, tokens in prompts_of(12, 60).items()
    ]
    alone = {}
    for each in requests:
        alone.update(run(open_small(folder, max_requests=1, prefix_caching=False), [each]))
    engine = open_small(folder)
    others = [request(100 + number, temperature=2.0, seed=number) for number in range(9)]
    together = run(engine, [*others[:4], *requests[::-1], *others[4:]])
    different = [each for each in requests if alone[each.id].tokens != together[each.id].tokens]
    assert len(different) <= 1
    for each in different:
        assert border_distance(folder, each, alone[each.id].tokens, together[each.id].tokens) < 1e-5


def test_seeds_differ_and_without_a_seed_each_text_differs(engine: TransformersEngine) -> None:
    # Long enough: texts that end at once are all the same.
    seeded = [request(number, temperature=1.5, seed=number, min_tokens=8) for number in range(5)]
    unseeded = [request(10 + number, temperature=1.5, min_tokens=8) for number in range(5)]
    texts = {completion.tokens for completion in run(engine, [*seeded, *unseeded]).values()}
    assert len(texts) == 10


def test_logprobs_are_those_of_a_plain_forward(folder: Path, engine: TransformersEngine) -> None:
    wanted = Sampling(max_tokens=12, logprobs=4, temperature=0.7, top_k=3, seed=1, repetition_penalty=1.3)
    add_all(engine, prompts_of(6, 60), wanted)
    engine.add(request(50, logprobs=0))
    engine.add(request(51))
    completions = finish(engine)
    module = AutoModelForCausalLM.from_pretrained(folder)
    for number, prompt in prompts_of(6, 60).items():
        completion = completions[number]
        with torch.no_grad():
            logits = module(torch.tensor([[*prompt, *completion.tokens]])).logits[0, len(prompt) - 1 : -1]
        plain = logits.log_softmax(1)
        assert completion.logprobs is not None
        assert len(completion.logprobs) == len(completion.tokens)
        for row, token, each in zip(plain, completion.tokens, completion.logprobs, strict=True):
            assert each.token == token
            assert each.logprob == pytest.approx(float(row[token]), abs=2e-4)
            best = row.topk(4)
            assert [each for each, _ in each.top] == best.indices.tolist()
            assert [value for _, value in each.top] == pytest.approx(best.values.tolist(), abs=2e-4)
    assert completions[50].logprobs is not None
    assert completions[50].logprobs[0].top == ()
    assert completions[51].logprobs is None


def test_a_text_ends_before_a_stop_text_that_begins_and_ends_within_tokens(
    folder: Path, engine: TransformersEngine
) -> None:
    whole = run(engine, [request(0, max_tokens=60)])[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pieces = [str(tokenizer.decode([token])) for token in whole.tokens]
    long = [at for at in range(4, 50) if min(len(pieces[at]), len(pieces[at + 1])) > 1 and pieces[at].isascii()]
    at = next(at for at in long if pieces[at + 1].isascii())
    stop = pieces[at][1:] + pieces[at + 1][:1]
    completion = run(engine, [request(0, max_tokens=60, stop=("nowhere in it", stop))])[0]
    assert completion.finish == "stop"
    assert completion.text == whole.text[: whole.text.index(stop)]
    assert len(completion.tokens) < 60
    # Not before min_tokens: a stop text in the first tokens does not end the text.
    late = run(engine, [request(0, max_tokens=60, stop=(stop,), min_tokens=59)])[0]
    assert len(late.tokens) == 60


def test_a_stop_text_within_min_tokens_is_passed_over(folder: Path, engine: TransformersEngine) -> None:
    """What came before ``min_tokens`` neither ends the text later, nor is it where a later stop text cuts."""
    forced = Constraint(regex="ab;cdefghij;klmnop")
    whole = run(engine, [request(0, constraint=forced, max_tokens=40)])[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = next(at for at in range(40) if ";" in str(tokenizer.decode(list(whole.tokens[:at]))))
    completion = run(engine, [request(0, constraint=forced, stop=(";",), min_tokens=first, max_tokens=40)])[0]
    assert completion.text == "ab;cdefghij"
    never = run(engine, [request(0, constraint=forced, stop=("b;",), min_tokens=first, max_tokens=40)])[0]
    assert never.text == whole.text
    across = run(engine, [request(0, constraint=forced, stop=(";c",), min_tokens=first, max_tokens=40)])[0]
    assert across.text == "ab"


@pytest.mark.parametrize("stops", [("abc", "b"), ("b", "abc")])
def test_of_several_stop_texts_the_one_that_ends_first_counts(folder: Path, stops: tuple[str, ...]) -> None:
    """Also if both come at once, as in one token."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert StopTexts(tokenizer, Sampling(max_tokens=9, stop=stops)).cut(tokenizer.encode("xabc").ids) == "xa"


def test_a_stop_text_of_characters_of_several_tokens(folder: Path, engine: TransformersEngine) -> None:
    """A constraint makes the model write an emoji, whose bytes are tokens of their own."""
    forced = Constraint(regex="ab🙂cd🚀ef")
    completion = run(engine, [request(0, constraint=forced, stop=("🚀",), max_tokens=40)])[0]
    assert completion.text == "ab🙂cd"
    assert completion.finish == "stop"
    whole = run(engine, [request(0, constraint=forced, max_tokens=40)])[0]
    assert whole.text == "ab🙂cd🚀ef"
    assert whole.finish == "stop"
    assert whole.logprobs is None


def test_a_text_does_not_end_before_min_tokens(folder: Path) -> None:
    ends = tuple(range(2, 380))  # nearly every token ends a text
    engine = open_small(folder, ends=ends)
    completions = run(engine, [request(0), request(1, min_tokens=7), request(2, min_tokens=7, temperature=1.0, seed=1)])
    assert len(completions[0].tokens) < 7
    for number in (1, 2):
        assert len(completions[number].tokens) >= 7
        assert not set(completions[number].tokens) & set(ends)


def test_equal_beginnings_are_computed_once(folder: Path) -> None:
    start = prompts_of(1, 300, seed=4)[0] + prompts_of(1, 300, seed=5)[0]
    engine = open_small(folder, page_size=8)
    first = run(engine, [request(0, [*start, 7])])[0]
    second = run(engine, [request(1, [*start, 8])])[1]
    assert first.cached_tokens == 0
    assert second.cached_tokens == len(start) // 8 * 8
    plain = open_small(folder, page_size=8, prefix_caching=False)
    assert run(plain, [request(0, [*start, 8])])[0].tokens == second.tokens
    assert run(plain, [request(0, [*start, 8])])[0].cached_tokens == 0


def test_steps_count_tokens(engine: TransformersEngine) -> None:
    prompts = prompts_of(5, 100)
    add_all(engine, prompts, Sampling(max_tokens=6, min_tokens=6))
    steps = []
    while engine.unfinished:
        steps.append(engine.step())
    assert sum(step.prompt_tokens for step in steps) == sum(map(len, prompts.values()))
    assert sum(step.generated_tokens for step in steps) == 30
    assert engine.step().completions == []


def test_cancel_frees_the_cache_at_once(engine: TransformersEngine) -> None:
    before = free_bytes(engine)
    add_all(engine, prompts_of(100, 200), Sampling(max_tokens=50))
    for _ in range(3):
        engine.step()
    assert free_bytes(engine) < before
    engine.cancel([*range(100), 3, 999])
    assert engine.unfinished == 0
    assert free_bytes(engine) == before
    assert len(run(engine, [request(3)])[3].tokens) == 20


def test_a_request_that_is_larger_than_the_cache_fails_alone(folder: Path) -> None:
    engine = open_small(folder, cache_bytes=64 * 2 * 2 * 16 * 4 * 6)  # 64 tokens of this model
    engine.add(request(0, [9] * 50, max_tokens=20))
    engine.add(request(1, [9] * 40, max_tokens=20))
    failures, tokens = {}, []
    while engine.unfinished:
        step = engine.step()
        failures.update(step.failures)
        tokens += [len(each.tokens) for each in step.completions]
    assert list(failures) == [0]
    assert "need room for 70 tokens, but the cache of the engine has room for 64" in failures[0]
    assert tokens == [20]


def test_tokens_that_the_network_does_not_have(folder: Path) -> None:
    """A tokenizer can have more of them. A prompt with one fails alone; as the end of texts they are left out."""
    size = AutoModelForCausalLM.from_pretrained(folder).config.vocab_size
    engine = open_small(folder, ends=(END, size + 7))
    engine.add(request(0, [5, size, 6]))
    engine.add(request(1, [5, 6, 7], min_tokens=3, max_tokens=4))
    engine.add(request(2, [5, 6, 7], constraint=Constraint(regex="a{2}b?"), max_tokens=4))
    failures: dict[int, str] = {}
    texts: dict[int, str] = {}
    while engine.unfinished:
        step = engine.step()
        failures.update(step.failures)
        texts.update((each.id, each.text) for each in step.completions)
    assert list(failures) == [0]
    assert f"the token {size} of the tokenizer, but the network has {size} tokens" in failures[0]
    assert set(texts) == {1, 2}
    assert texts[2] in ("aa", "aab")


def test_a_network_that_computes_no_numbers_fails_the_request(folder: Path) -> None:
    engine = open_small(folder)
    weights = engine._batcher._module.get_parameter("model.embed_tokens.weight")
    with torch.no_grad():
        weights[300] = torch.nan
    engine.add(request(0, [5, 300, 6]))
    engine.add(request(1, [5, 6, 7], max_tokens=1))
    step = engine.step()
    assert list(step.failures) == [0]
    assert "no numbers" in step.failures[0]
    assert [each.id for each in step.completions] == [1]
    assert engine.unfinished == 0


def test_an_end_token_is_no_part_of_the_text(folder: Path) -> None:
    engine = open_small(folder, ends=(END, *range(3, 380)))
    completion = run(engine, [request(0, max_tokens=400)])[0]
    assert completion.finish == "stop"
    assert not set(completion.tokens) & set(range(2, 380))


def test_thousands_of_requests_leave_no_memory(engine: TransformersEngine) -> None:
    process = psutil.Process()

    def many(count: int) -> int:
        prompts = prompts_of(count, 20, seed=count)
        add_all(engine, prompts, Sampling(max_tokens=2, stop=("never",), temperature=1.0, logprobs=1))
        assert len(finish(engine)) == count
        gc.collect()
        return process.memory_info().rss

    before = free_bytes(engine)
    warm = many(500)
    assert many(2000) - warm < 16 << 20
    assert free_bytes(engine) == before
    assert engine._running == {}
    assert engine._sampler.requests == {}
    assert engine._batcher.cache.matched == {}
