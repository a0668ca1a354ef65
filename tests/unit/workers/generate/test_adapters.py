"""Adapters of an engine compute what peft computes with each of them alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.adapters import AdapterPool
from longshore.workers.generate.engines.base import AdapterFiles
from tests.language_models import save_language_model
from tests.lora_adapters import LLAMA_LAYERS, load_with_peft, save_adapter

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
#: Enough for all adapters of a test.
ROOM = 2**30


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    save_language_model(folder)
    return folder


def load(folder: Path) -> torch.nn.Module:
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder)
    return model.eval()


@torch.no_grad()
def packed_logits(model: torch.nn.Module, prompts: Sequence[Sequence[int]], **more: object) -> torch.Tensor:
    """The logits of prompts that share one forward pass, one after the other, as continuous batching computes them."""
    tokens = torch.tensor([[token for prompt in prompts for token in prompt]])
    positions = torch.tensor([[position for prompt in prompts for position in range(len(prompt))]])
    logits: torch.Tensor = model(input_ids=tokens, position_ids=positions, use_cache=False, **more).logits[0]
    return logits


@torch.no_grad()
def logits_of(model: torch.nn.Module, prompt: Sequence[int]) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=torch.tensor([prompt])).logits[0]
    return logits


def prompt(seed: int, length: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 300, (length,), generator=generator).tolist()


def test_twenty_adapters_share_a_forward_pass(base: Path, tmp_path: Path) -> None:
    settings: list[dict[str, object]] = [
        {"rank": 4, "lora_alpha": 8},
        {"rank": 3, "lora_alpha": 6, "use_rslora": True},
        {"rank": 8, "layers": ("q_proj", "v_proj")},
        {"rank": 4, "rank_pattern": {"down_proj": 2}, "alpha_pattern": {"layers.1.self_attn.q_proj": 32}},
        {"rank": 2, "layers": (*LLAMA_LAYERS, "lm_head")},
    ]
    adapters = [AdapterFiles(f"a{number}", tmp_path / f"a{number}") for number in range(20)]
    for number, adapter in enumerate(adapters):
        save_adapter(base, adapter.folder, seed=number, **settings[number % 5])  # type: ignore[arg-type]
    model = load(base)
    pool = AdapterPool(model, ROOM)
    assert all(pool.acquire(adapter) for adapter in adapters)
    # Each adapter has two requests, which are not beside each other, and there are requests without one.
    users: list[AdapterFiles | None] = [*adapters, None, *reversed(adapters), None]
    prompts = [prompt(number, 1 + number % 7) for number in range(len(users))]
    spans = [(None if user is None else user.key, len(tokens)) for user, tokens in zip(users, prompts, strict=True)]
    pool.select(spans)
    packed = packed_logits(model, prompts)
    alone = {None: load(base)} | {adapter: load_with_peft(base, adapter.folder) for adapter in adapters}
    expected = [logits_of(alone[user], tokens) for user, tokens in zip(users, prompts, strict=True)]
    torch.testing.assert_close(packed, torch.cat(expected), rtol=1e-5, atol=1e-5)
    assert (packed - torch.cat([logits_of(alone[None], tokens) for tokens in prompts])).abs().max() > 0.1

    # The last layer computes only the positions whose logits are needed.
    ends = [sum(map(len, prompts[: number + 1])) - 1 for number in range(len(prompts))]
    pool.select(spans, ends)
    last = packed_logits(model, prompts, logits_to_keep=torch.tensor(ends))
    torch.testing.assert_close(last, packed[ends], rtol=1e-5, atol=1e-5)

    pool.select([(None, len(tokens)) for tokens in prompts])
    assert torch.equal(packed_logits(model, prompts), packed_logits(load(base), prompts))


def test_layers_whose_weights_are_transposed(tmp_path: Path) -> None:
    base, adapter = tmp_path / "gpt2", AdapterFiles("a", tmp_path / "adapter")
    save_language_model(base, "gpt2", n_embd=64, n_layer=2, n_head=4, n_positions=512)
    save_adapter(base, adapter.folder, layers=("c_attn", "c_proj", "c_fc"), fan_in_fan_out=True)
    model = load(base)
    pool = AdapterPool(model, ROOM)
    assert pool.acquire(adapter)
    tokens = prompt(0, 9)
    pool.select([("a", len(tokens))])
    expected = logits_of(load_with_peft(base, adapter.folder), tokens)
    torch.testing.assert_close(logits_of(model, tokens), expected, rtol=1e-5, atol=1e-5)


def test_the_least_recently_used_adapter_makes_room(base: Path, tmp_path: Path) -> None:
    adapters = [AdapterFiles(f"a{number}", tmp_path / f"a{number}") for number in range(4)]
    for number, adapter in enumerate(adapters):
        save_adapter(base, adapter.folder, seed=number, rank=16 if number == 3 else 4)
    first, second, third, large = adapters
    measure = AdapterPool(load(base), ROOM)
    assert measure.acquire(first)
    model = load(base)
    pool = AdapterPool(model, 2 * measure.nbytes)
    assert pool.acquire(first)
    assert pool.acquire(second)
    assert not pool.acquire(third)  # both are used
    pool.release("a0")
    pool.release("a1")
    assert pool.acquire(first)
    pool.release("a0")
    assert pool.acquire(third)
    assert pool.keys == ("a0", "a2")
    with pytest.raises(InvalidInput, match=r"takes \d.* bytes, but there are"):
        pool.acquire(large)
    assert pool.nbytes == 2 * measure.nbytes
    # What was evicted is loaded again.
    pool.release("a2")
    assert pool.acquire(second)
    assert pool.keys == ("a2", "a1")
    pool.select([("a1", 5)])
    expected = logits_of(load_with_peft(base, second.folder), prompt(1, 5))
    torch.testing.assert_close(logits_of(model, prompt(1, 5)), expected, rtol=1e-5, atol=1e-5)


def test_adapters_of_another_model_are_refused(base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_language_model(other, width=32)
    save_adapter(other, tmp_path / "narrow")
    save_language_model(tmp_path / "long", layers=3)
    save_adapter(tmp_path / "long", tmp_path / "deep")
    save_adapter(base, tmp_path / "embeds", layers=("embed_tokens",))
    pool = AdapterPool(load(base), ROOM)
    for folder, message in (
        ("narrow", r"its model\.layers\.0\..* the model's has"),
        ("deep", r"adapts model\.layers\.2\..*, a layer that the model does not have"),
        ("embeds", "which is not a LoRA matrix of a linear layer"),
        ("nothing", "there is no adapter_config.json"),
    ):
        with pytest.raises(InvalidInput, match=message):
            pool.acquire(AdapterFiles(folder, tmp_path / folder))
    assert pool.keys == ()
