"""Requests with equal beginnings look at these together, and write what each of them writes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longshore.workers.generate.engines.attention.shared_pages import SharedPages, share_pages
from longshore.workers.generate.engines.base import EngineRequest, Sampling
from tests.language_models import save_language_model
from tests.transformers_engines import finish, generate_greedily, open_small, prompts_of

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]


@pytest.mark.parametrize(
    ("tables", "groups"),
    [
        ([], []),
        ([range(40)], []),
        ([range(23), range(23)], []),
        ([[*range(24), 90], range(24), [50]], [((0, 1), 24)]),
        # Two groups that share more than all four together, in any order.
        (
            [[1, *range(10, 50)], [1, *range(60, 99)], [1, *range(10, 50), 7], [1, *range(60, 90)]],
            [((0, 2), 41), ((1, 3), 31)],
        ),
        # One group that is larger than its parts.
        ([[*range(20), 30], [*range(20), 30], [*range(20), 31], [*range(20), 31]], [((0, 1, 2, 3), 20)]),
        # What shares too little is left out.
        ([[5, 6], [5, 6], *[[*range(10, 40), at] for at in range(3)]], [((2, 3, 4), 30)]),
    ],
)
def test_groups(tables: list[list[int]], groups: list[tuple[tuple[int, ...], int]]) -> None:
    found = share_pages(tables)
    assert sorted((tuple(sorted(each.members)), each.pages) for each in found) == groups
    assert SharedPages((4, 2, 9), 5).saved == 10


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [("llama", {}), ("gemma2", {"layer_types": ["full_attention"] * 2, "head_dim": 16, "attn_logit_softcapping": 2.0})],
)
def test_texts_are_those_of_each_request_alone(tmp_path: Path, model_type: str, settings: dict[str, Any]) -> None:
    """Two beginnings, one within the other, a request of its own, and some that begin later."""
    save_language_model(tmp_path / "model", model_type, **settings)
    start, more = prompts_of(2, 20, seed=7)[0] * 8, prompts_of(2, 20, seed=8)[1] * 9
    assert len(start) > 64
    assert len(more) > 64
    own = prompts_of(24, 30, seed=3)
    prompts = {number: [*(start if number else ()), *(more if number % 3 else ()), *own[number]] for number in own}
    engine = open_small(tmp_path / "model", page_size=4)
    shared = set()
    steps = 0
    for number in (1, 2, 3):  # the beginnings are in the cache when the others come
        engine.add(EngineRequest(id=number, tokens=prompts[number], sampling=Sampling(max_tokens=12)))
    completions = {}
    while engine.unfinished:
        for each in engine.step().completions:
            completions[each.id] = each.tokens
        steps += 1
        if steps == 4:
            for number in set(prompts) - {1, 2, 3}:
                engine.add(EngineRequest(id=number, tokens=prompts[number], sampling=Sampling(max_tokens=12)))
        [plan] = engine._batcher.cache.plans.values()
        shared |= {(len(group.rows), group.shared) for group in plan.decoding if group.shared}
    assert {count for _, count in shared} >= {len(start) // 4 * 4, (len(start) + len(more)) // 4 * 4}
    assert max(count for count, _ in shared) > 6
    expected = generate_greedily(tmp_path / "model", prompts, 12)
    assert {number: list(tokens) for number, tokens in completions.items()} == expected
    assert finish(engine) == {}
