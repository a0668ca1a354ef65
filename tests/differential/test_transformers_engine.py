"""The engine on transformers writes what ``generate`` writes, whoever shares the batch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.base import EngineRequest, Sampling
from tests.differential.cases import COMPARED, case_count
from tests.language_models import save_language_model
from tests.transformers_engines import END, add_all, finish, generate_greedily, open_small, prompts_of

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
MAX_TOKENS = 24
#: Architectures, with settings that make them differ: windows shorter than prompts, caps of scores, tied weights.
ARCHITECTURES: dict[str, dict[str, object]] = {
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 16},
    "gpt2": {},
    "gpt_neox": {},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 64},
    "gemma": {"head_dim": 16},
    "gemma2": {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 32},
    "gemma3_text": {"head_dim": 16, "sliding_window": 32},
    "mistral": {"sliding_window": 16},
    "phi3": {"sliding_window": 48},
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    save_language_model(folder)
    return folder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_texts_are_those_of_generate(architecture: str, tmp_path: Path) -> None:
    save_language_model(tmp_path / "model", architecture, **ARCHITECTURES[architecture])  # type: ignore[arg-type]
    prompts = prompts_of(case_count(12), 150)
    engine = open_small(tmp_path / "model")
    add_all(engine, prompts, Sampling(max_tokens=MAX_TOKENS))
    texts = {number: list(completion.tokens) for number, completion in finish(engine).items()}
    assert texts == generate_greedily(tmp_path / "model", prompts, MAX_TOKENS)
    COMPARED.add(len(prompts))


@pytest.mark.parametrize("page_size", [4, 32, 256])
@pytest.mark.parametrize("max_requests", [1, 5, 64])
def test_greedy_texts_do_not_depend_on_the_batch(page_size: int, max_requests: int, llama: Path) -> None:
    order = random.Random(page_size * max_requests)
    prompts = prompts_of(case_count(12), 200, seed=max_requests)
    prompts[1000] = prompts[0] + prompts[1]  # shares pages with the first one
    expected = generate_greedily(llama, prompts, MAX_TOKENS)
    engine = open_small(llama, page_size=page_size, max_requests=max_requests)
    left = order.sample(sorted(prompts), len(prompts))
    others = iter(range(5000, 9000))
    texts: dict[int, list[int]] = {}
    while left or len(texts) < len(prompts):
        for number in [left.pop() for _ in range(min(len(left), order.randrange(3)))]:
            engine.add(EngineRequest(id=number, tokens=prompts[number], sampling=Sampling(max_tokens=MAX_TOKENS)))
        # Others come, some at a temperature, and are cancelled at any time.
        other, tokens = next(others), prompts_of(1, 60, seed=len(texts))[0]
        sampling = Sampling(max_tokens=9, temperature=other % 2, seed=other)
        engine.add(EngineRequest(id=other, tokens=tokens, sampling=sampling))
        engine.cancel([order.randrange(5000, other + 1) for _ in range(2)])
        step = engine.step()
        assert step.failures == {}
        texts.update((each.id, list(each.tokens)) for each in step.completions if each.id < 5000)
    assert texts == expected
    COMPARED.add(len(prompts))


def test_greedy_texts_are_the_same_when_requests_give_their_pages_to_others(llama: Path) -> None:
    prompts = prompts_of(case_count(12), 60, seed=3)
    expected = generate_greedily(llama, prompts, 100)
    tokens = 2 * 2 * 16 * 4 * (2 + 4)  # bytes that the engine counts for a token of this model
    engine = open_small(llama, page_size=4, cache_bytes=200 * tokens)
    add_all(engine, prompts, Sampling(max_tokens=100))
    assert {number: list(each.tokens) for number, each in finish(engine).items()} == expected
    COMPARED.add(len(prompts))


def test_positions_of_long_texts_are_those_of_generate(tmp_path: Path) -> None:
    """Short and long texts in one batch, and some that become long while they are written."""
    rope = {
        **{"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 64},
        **{"short_factor": [1.0] * 8, "long_factor": [1.0 + 0.5 * each for each in range(8)]},
    }
    folder = tmp_path / "model"
    save_language_model(folder, "phi3", rope_parameters=rope, original_max_position_embeddings=64)
    prompts = prompts_of(case_count(12), 150)
    prompts |= {1000 + length: prompts_of(1, 1, seed=length)[0] * length for length in (40, 60, 63, 64, 65)}
    prompts[2000] = prompts[1065] + prompts[1060] * 8  # longer than a step
    expected = generate_greedily(folder, prompts, MAX_TOKENS)
    engine = open_small(folder, page_size=8)
    for _ in range(2):  # the second time with pages in the cache
        add_all(engine, prompts, Sampling(max_tokens=MAX_TOKENS))
        assert {number: list(each.tokens) for number, each in finish(engine).items()} == expected
    COMPARED.add(len(prompts))


def test_a_network_whose_attention_does_not_look_at_the_cache_is_refused(tmp_path: Path) -> None:
    save_language_model(tmp_path / "model", "bloom")
    with pytest.raises(InvalidInput, match="cannot run a bloom: its log probabilities are"):
        open_small(tmp_path / "model")


def test_the_end_of_a_text_is_that_of_generate(llama: Path) -> None:
    """With many tokens that end a text, so that most texts have an end."""
    prompts = prompts_of(case_count(12), 60, seed=5)
    plain = generate_greedily(llama, prompts, MAX_TOKENS)
    ends = (END, *range(50, 120))
    engine = open_small(llama, ends=ends)
    add_all(engine, prompts, Sampling(max_tokens=MAX_TOKENS))
    completions = finish(engine)
    for number, text in plain.items():
        cut = next((at for at, token in enumerate(text) if token in ends), len(text))
        assert list(completions[number].tokens) == text[:cut]
        assert completions[number].finish == ("length" if cut == MAX_TOKENS else "stop")
    assert {each.finish for each in completions.values()} == {"length", "stop"}
    COMPARED.add(len(prompts))
