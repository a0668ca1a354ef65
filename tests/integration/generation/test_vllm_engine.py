"""The engine on vLLM against transformers and peft, on a CPU in float32: in one process, and split over several."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import jsonschema
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.base import AdapterFiles, BegunText, Constraint, EngineStep, Sampling
from longshore.workers.generate.engines.remote.client import EngineEnded, RemoteEngine
from longshore.workers.generate.engines.texts.stop_texts import StopTexts
from longshore.workers.generate.engines.weights import load_tokens
from tests.language_models import save_language_model
from tests.lora_adapters import load_with_peft, save_adapter
from tests.plain_generation import greedy, next_logits, text_logits
from tests.vllm_engines import END, TOKENS, finish, ids, open_vllm, process_states, prompts, request, run, step
from tests.waiting import TIMEOUT_S

#: The first test builds an environment, which can take minutes.
pytestmark = [pytest.mark.timeout(2400), pytest.mark.filterwarnings("ignore::FutureWarning")]

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
#: A document of the schema, as both engines lay it out: at most 100 tokens, even of one byte each.
ONE_LINE = re.compile(r'\{"name": ?".{0,32}", ?"age": ?[0-9]{1,3}, ?"tags": ?\[("(red|blue)"(, ?)?){0,3}\]\}')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    save_language_model(folder, width=128)  # vLLM's attention on CPUs has no heads of 16 numbers
    return folder


@pytest.fixture(scope="module")
def module(folder: Path) -> torch.nn.Module:
    loaded: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return loaded.eval()


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[RemoteEngine]:
    with closing(open_vllm(folder, request.param)) as engine:
        yield engine


@pytest.fixture
def engine(opened: RemoteEngine) -> Iterator[RemoteEngine]:
    """The engine of the module. Each test leaves it without requests."""
    yield opened
    assert opened.unfinished == 0
    assert opened.step() == EngineStep()


@pytest.mark.parametrize("options", [{}, {"logprobs": 2, "repetition_penalty": 1.3}])
def test_texts_go_on_where_other_requests_have_left_them(engine: RemoteEngine, options: dict[str, object]) -> None:
    options = {**options, "max_tokens": 60, "min_tokens": 50}
    whole_request = request(prompts(1)[0], None, **options)
    [whole] = run(engine, [whole_request])
    first = replace(whole_request, id=next(ids), streamed=True)
    engine.add(first)
    while first.id not in (texts := engine.texts([first.id])):
        engine.step()
    engine.cancel([first.id])
    begun = texts[first.id]
    count = len(begun.tokens)
    assert 0 < count < 50
    assert list(begun.tokens) == list(whole.tokens[:count])
    engine.add(replace(first, begun=begun))
    generated, streamed = 0, list[int]()
    while not (step := engine.step()).completions:
        generated += step.generated_tokens
        streamed += step.new_tokens.get(first.id, ())
    [completion] = step.completions
    assert streamed == list(whole.tokens[: len(streamed)])
    assert (completion.tokens, completion.text, completion.finish) == (whole.tokens, whole.text, whole.finish)
    assert generated + step.generated_tokens == len(whole.tokens) - count + (whole.finish == "stop")
    assert completion.cached_tokens <= len(first.tokens)
    if whole.logprobs is not None:
        pairs = zip(completion.logprobs or (), whole.logprobs, strict=True)
        assert all(one.token == other.token and abs(one.logprob - other.logprob) < 1e-3 for one, other in pairs)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0, "seed": 3},
        {"presence_penalty": 1.0},
        {"frequency_penalty": 1.0},
        {"stop": ("nowhere",)},
        {"constraint": Constraint(regex="[a-f]{30}")},
    ],
)
def test_other_texts_begin_anew(engine: RemoteEngine, options: dict[str, object]) -> None:
    first = request(prompts(1)[0], None, **options)
    [whole] = run(engine, [first])
    again = replace(first, id=next(ids), begun=BegunText(whole.tokens[:10]))
    engine.add(again)
    generated = 0
    while not (step := engine.step()).completions:
        assert engine.texts([again.id]) == {}
        generated += step.generated_tokens
    assert step.completions[0].tokens == whole.tokens
    assert generated + step.generated_tokens >= len(whole.tokens)


def test_greedy_texts_are_those_of_generate_whoever_shares_the_steps(
    engine: RemoteEngine, module: torch.nn.Module, folder: Path
) -> None:
    rows = prompts(24)
    expected = [greedy(module, tokens) for tokens in rows]
    assert any(len(tokens) < TOKENS for tokens in expected), "one text ends by itself"
    together = run(engine, [request(tokens) for tokens in rows])
    assert [list(completion.tokens) for completion in together] == expected
    decoder = load_tokens(folder)
    assert [completion.text for completion in together] == [decoder.decode(tokens) for tokens in expected]
    for completion, tokens in zip(together, expected, strict=True):
        assert completion.finish == ("length" if len(tokens) == TOKENS else "stop")
    others = [request(tokens, temperature=1.0, max_tokens=40) for tokens in prompts(6, seed=1)]
    late = run(engine, [*others, *(request(tokens) for tokens in rows)], late=24)[6:]
    assert [list(completion.tokens) for completion in late] == expected


def test_counts_every_token_of_prompts_and_texts(engine: RemoteEngine) -> None:
    rows = prompts(5, longest=60, seed=2)
    for tokens in rows:
        engine.add(request(tokens, max_tokens=40, min_tokens=40))
    counted = [engine.step()]
    assert counted[0].prompt_tokens > 0
    while engine.unfinished:
        counted.append(engine.step())
    assert sum(step.prompt_tokens for step in counted) == sum(map(len, rows))
    assert sum(step.generated_tokens for step in counted) == 5 * 40
    assert sum(step.generated_tokens for step in counted[:20]) > 0, "texts are counted while they grow"


def test_log_probabilities_are_those_of_a_forward_pass(engine: RemoteEngine, module: torch.nn.Module) -> None:
    rows = prompts(4, seed=3)
    for tokens, completion in zip(
        rows, run(engine, [request(tokens, logprobs=3, temperature=0.7, seed=1) for tokens in rows]), strict=True
    ):
        assert completion.logprobs is not None
        assert [each.token for each in completion.logprobs] == list(completion.tokens)
        logits = text_logits(module, tokens, completion.tokens).log_softmax(1)
        for each, expected in zip(completion.logprobs, logits, strict=True):
            best = expected.topk(3)
            assert each.logprob == pytest.approx(float(expected[each.token]), abs=1e-4)
            assert [token for token, _ in each.top] == best.indices.tolist()
            assert [logprob for _, logprob in each.top] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_zero_alternatives_are_no_alternatives(engine: RemoteEngine) -> None:
    (completion,) = run(engine, [request([5, 6, 7], logprobs=0)])
    assert completion.logprobs is not None
    assert len(completion.logprobs) == len(completion.tokens)
    assert all(each.top == () for each in completion.logprobs)
    (plain,) = run(engine, [request([5, 6, 7])])
    assert plain.logprobs is None


def test_penalties_change_the_logits_as_they_say(engine: RemoteEngine, module: torch.nn.Module) -> None:
    tokens = prompts(1, longest=60, seed=4)[0]
    repetition, presence, both = run(
        engine,
        [
            request(tokens, repetition_penalty=1.7),
            request(tokens, presence_penalty=1.5),
            request(tokens, presence_penalty=-0.5, frequency_penalty=1.9),
        ],
    )
    assert list(repetition.tokens) == greedy(module, tokens, repetition_penalty=1.7)
    for completion, present, frequent in ((presence, 1.5, 0.0), (both, -0.5, 1.9)):
        text: list[int] = []
        while len(text) < TOKENS:
            logits = next_logits(module, [*tokens, *text])
            for token in set(text):
                logits[token] -= present + frequent * text.count(token)
            if (best := int(logits.argmax())) == END:
                break
            text.append(best)
        assert list(completion.tokens) == text


def test_draws_only_from_the_tokens_that_are_left(engine: RemoteEngine, module: torch.nn.Module) -> None:
    tokens = prompts(1, longest=40, seed=5)[0]
    filters: dict[str, dict[str, object]] = {"top_k": {"top_k": 3}, "top_p": {"top_p": 0.4}, "min_p": {"min_p": 0.3}}
    for option, chosen in filters.items():
        completions = run(engine, [request(tokens, None, temperature=1.5, seed=seed, **chosen) for seed in range(6)])
        assert len({tuple(completion.tokens) for completion in completions}) > 1
        for completion in completions:
            probabilities = (text_logits(module, tokens, completion.tokens) / 1.5).softmax(1)
            drawn = probabilities.gather(1, torch.tensor(completion.tokens)[:, None])
            ordered = probabilities.sort(1, descending=True).values
            smallest = {
                "top_k": ordered[:, 2:3],
                "top_p": ordered.gather(1, (ordered.cumsum(1) < 0.4).sum(1, keepdim=True)),
                "min_p": 0.3 * ordered[:, :1],
            }[option]
            assert bool((drawn >= smallest - 1e-6).all()), option


def test_a_seed_determines_a_text_whoever_shares_the_steps(engine: RemoteEngine) -> None:
    tokens = prompts(1, longest=40, seed=6)[0]
    (alone,) = run(engine, [request(tokens, temperature=1.0, seed=7)])
    others = [request(each, temperature=1.0) for each in prompts(12, seed=8)]
    shared = run(engine, [*others, request(tokens, temperature=1.0, seed=7), request(tokens, temperature=1.0, seed=8)])
    assert shared[-2].tokens == alone.tokens
    assert shared[-1].tokens != alone.tokens
    unseeded = run(engine, [request(tokens, temperature=1.0) for _ in range(2)])
    assert unseeded[0].tokens != unseeded[1].tokens
    run(engine, [request(tokens, temperature=1.0, seed=2**63 - 1)])


def test_ends_before_stop_texts_and_not_before_min_tokens(
    engine: RemoteEngine, module: torch.nn.Module, folder: Path
) -> None:
    tokens, decoder = prompts(1, longest=40, seed=9)[0], load_tokens(folder)
    plain = greedy(module, tokens)
    text = decoder.decode(plain)
    stop = text[9:12]
    (completion,) = run(engine, [request(tokens, stop=("never", stop))])
    assert completion.text == text[: text.find(stop)]
    assert completion.finish == "stop"
    assert list(completion.tokens) == plain[: len(completion.tokens)]
    same = StopTexts(decoder, Sampling(max_tokens=24, stop=(stop,)))
    assert same.cut(completion.tokens) == completion.text, "the engine on transformers ends there, too"
    rows = prompts(60, longest=20, seed=10)
    lengths = [len(completion.tokens) for completion in run(engine, [request(each) for each in rows])]
    assert min(lengths) < 16
    (longer,) = run(engine, [request(rows[lengths.index(min(lengths))], min_tokens=16)])
    assert len(longer.tokens) >= 16
    assert END not in longer.tokens


def test_constrained_texts_match(engine: RemoteEngine) -> None:
    rows = prompts(40, longest=20, seed=11)
    schema = Constraint(json_schema=json.dumps(SCHEMA))
    # What is repeated becomes more probable: spaces, if the grammar has no bound for them.
    asked = [request(each, temperature=1.0, frequency_penalty=-2.0, max_tokens=200, constraint=schema) for each in rows]
    for completion in run(engine, asked):
        assert completion.finish == "stop"
        jsonschema.validate(json.loads(completion.text), SCHEMA)
        assert re.fullmatch(ONE_LINE, completion.text), "the layout is that of both engines"
    pattern = r"[a-c]{2,4}-[0-9]{3}"
    for completion in run(
        engine, [request(each, temperature=1.0, constraint=Constraint(regex=pattern)) for each in rows]
    ):
        assert re.fullmatch(pattern, completion.text)
    choices = Constraint(choices=("yes", "no", "not at all"))
    found = {each.text for each in run(engine, [request(each, temperature=2.0, constraint=choices) for each in rows])}
    assert found <= {"yes", "no", "not at all"}
    assert len(found) > 1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("schema", {"constraint": Constraint(json_schema='{"type": "text"}')}),
        ("regex", {"constraint": Constraint(regex="([")}),
        ("min_tokens", {"min_tokens": 3, "constraint": Constraint(choices=("yes",))}),
    ],
)
def test_refuses_what_it_cannot_do(engine: RemoteEngine, field: str, change: dict[str, object]) -> None:
    refused = replace(request([5, 6, 7]), sampling=Sampling(max_tokens=8, **change))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as error:
        engine.add(refused)
    assert error.value.field == field
    assert engine.unfinished == 0
    assert len(run(engine, [request([5, 6, 7], min_tokens=8, max_tokens=8)])[0].tokens) == 8


def test_refuses_tokens_that_the_model_does_not_have(engine: RemoteEngine) -> None:
    with pytest.raises(InvalidInput, match="prompt"):
        engine.add(request([5, 99_999]))


def test_cancelled_requests_leave_and_others_stay(engine: RemoteEngine, module: torch.nn.Module) -> None:
    rows = prompts(engine.capacity + 5, longest=30, seed=12)
    requests = [request(tokens) for tokens in rows]
    for each in requests:
        engine.add(each)
    engine.step()
    engine.step()
    engine.cancel([each.id for each in requests[3:]])
    engine.cancel([requests[4].id, 10**9])
    assert engine.unfinished == 3
    done = {id_: list(completion.tokens) for id_, completion in finish(engine).items()}
    assert done == {each.id: greedy(module, each.tokens) for each in requests[:3]}


def test_equal_beginnings_are_computed_once(engine: RemoteEngine, module: torch.nn.Module) -> None:
    beginning = [random.Random(13).randrange(3, 380) for _ in range(300)]
    (first,) = run(engine, [request([*beginning, 7])])
    assert first.cached_tokens == 0
    again = request([*beginning, 8])
    engine.add(again)
    steps = [engine.step()]
    while engine.unfinished:
        steps.append(engine.step())
    (second,) = steps[-1].completions
    assert 128 <= second.cached_tokens <= 300
    assert sum(step.prompt_tokens for step in steps) == 301 - second.cached_tokens
    assert list(second.tokens) == greedy(module, again.tokens)


def test_runs_adapters_beside_the_model_as_peft_does(
    engine: RemoteEngine, module: torch.nn.Module, folder: Path, tmp_path: Path
) -> None:
    adapters = []
    for index, rank in enumerate((4, 12)):
        save_adapter(folder, tmp_path / str(index), rank=rank, seed=index)
        adapters.append(AdapterFiles(f"adapter {index}", tmp_path / str(index)))
    rows = prompts(3, seed=14)
    running = [replace(request(tokens), streamed=True) for tokens in rows]
    for each in running:
        engine.add(each)
    streams: dict[int, list[int]] = {}
    while len(streams) < len(rows):
        assert step(engine, streams) == {}
    before = {id_: len(tokens) for id_, tokens in streams.items()}
    adapted = [request(tokens, adapter) for tokens in rows for adapter in adapters]
    for each in adapted:  # vLLM starts again at the first
        engine.add(each)
    done = finish(engine, streams)
    loaded = [load_with_peft(folder, adapter.folder) for adapter in adapters]
    expected = [greedy(each, tokens) for tokens in rows for each in loaded]
    assert [list(done[each.id].tokens) for each in adapted] == expected
    for each in running:
        text, stream = list(done[each.id].tokens), streams[each.id]
        assert text == greedy(module, each.tokens)
        assert text[: len(stream)] == stream, "each token once, though some were computed again"
        assert before[each.id] < len(stream) >= len(text) - 1
    plain = run(engine, [request(tokens) for tokens in rows])
    assert [list(completion.tokens) for completion in plain] == [greedy(module, tokens) for tokens in rows]
    assert not any(list(completion.tokens) in expected for completion in plain)


def test_an_engine_whose_process_is_killed_says_so_and_leaves_nothing(opened: RemoteEngine) -> None:
    process = psutil.Process(opened.pid)
    temporary = Path(process.cmdline()[-2])
    processes = [process, *process.children(recursive=True)]
    assert temporary.is_dir()
    opened.add(request([5, 6, 7]))
    process.kill()
    with pytest.raises(EngineEnded, match=r"was killed \(SIGKILL\)"):
        finish(opened)
    _, alive = psutil.wait_procs(processes, timeout=TIMEOUT_S)
    assert alive == []
    assert not temporary.exists()
    with pytest.raises(EngineEnded):
        opened.add(request([5, 6, 7]))


def test_leaves_its_process_as_it_was_and_refuses_networks_that_it_cannot_run(folder: Path, tmp_path: Path) -> None:
    save_language_model(tmp_path / "narrow", width=64)
    refused, opened = process_states(tmp_path / "narrow", folder)
    assert "cannot run the model" in str(refused["error"])
    assert (opened["error"], refused["others"], opened["others"]) == (None, [], [])
    changed = refused["variables"]
    assert isinstance(changed, dict)
    assert changed.keys() <= {"HF_HUB_OFFLINE", "DO_NOT_TRACK"} | {name for name in changed if name.startswith("VLLM_")}
    assert changed["VLLM_NO_USAGE_STATS"] == "1"
    assert opened["variables"] == {}
