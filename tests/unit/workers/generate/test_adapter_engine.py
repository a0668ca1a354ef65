"""The transformers engine with many adapters: the tokens of peft, one load of the model, bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from longshore.workers.generate.engines.base import AdapterFiles, Completion, Engine, EngineRequest, Sampling
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.version import LanguageModel
from tests.language_models import CONTEXT, save_language_model
from tests.lora_adapters import load_with_peft, save_adapter

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
NEW_TOKENS = 24
#: A beginning that all prompts have, longer than a page of keys and values.
SHARED = [5 + 7 * number % 200 for number in range(40)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    save_language_model(folder)
    return folder


def open_transformers(folder: Path, *, adapter_bytes: int = 1 << 30) -> Engine:
    model = LanguageModel(key="key", folder=folder, max_model_len=CONTEXT, end_tokens=(2,))
    options = EngineOptions(page_size=16, adapter_bytes=adapter_bytes)
    return open_engine("transformers", model, torch.device("cpu"), options)


def finish(engine: Engine) -> dict[int, Completion]:
    completions: dict[int, Completion] = {}
    while engine.unfinished:
        step = engine.step()
        assert not step.failures
        completions |= {completion.id: completion for completion in step.completions}
    return completions


@torch.no_grad()
def greedy(model: torch.nn.Module, tokens: Sequence[int]) -> list[int]:
    """What ``generate`` of transformers writes, without the token that ends it."""
    output = model.generate(  # type: ignore[operator]
        input_ids=torch.tensor([tokens]), max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=2, pad_token_id=0
    )
    return [token for token in output[0, len(tokens) :].tolist() if token != 2]


def test_twenty_adapters_in_a_batch_write_what_peft_writes(base: Path, tmp_path: Path) -> None:
    adapters = [AdapterFiles(f"a{number}", tmp_path / f"a{number}") for number in range(20)]
    for number, adapter in enumerate(adapters):
        save_adapter(base, adapter.folder, seed=number, rank=1 + number % 5)
    engine = open_transformers(base)
    # Requests with the same prompt and other adapters must not share keys and values.
    users: list[AdapterFiles | None] = [None, *adapters, None, *adapters]
    prompts = [[*SHARED, 10 + number % 3] for number in range(len(users))]
    sampling = Sampling(max_tokens=NEW_TOKENS)
    for number, (user, tokens) in enumerate(zip(users, prompts, strict=True)):
        engine.add(EngineRequest(id=number, tokens=tokens, sampling=sampling, adapter=user))
    texts = {number: list(completion.tokens) for number, completion in finish(engine).items()}
    # Again, when the pages of the prompts are there.
    for number, (user, tokens) in enumerate(zip(users, prompts, strict=True)):
        engine.add(EngineRequest(id=number, tokens=tokens, sampling=sampling, adapter=user))
    again = finish(engine)
    assert {number: list(completion.tokens) for number, completion in again.items()} == texts
    assert all(completion.cached_tokens >= 32 for completion in again.values())
    engine.close()
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base)
    alone = {None: plain} | {adapter: load_with_peft(base, adapter.folder) for adapter in adapters}
    expected = {
        number: greedy(alone[user], tokens) for number, (user, tokens) in enumerate(zip(users, prompts, strict=True))
    }
    assert texts == expected
    assert len({tuple(text) for text in texts.values()}) > 20


def test_requests_wait_for_memory_for_their_adapters(base: Path, tmp_path: Path) -> None:
    adapters = [AdapterFiles(f"a{number}", tmp_path / f"a{number}") for number in range(4)]
    for number, adapter in enumerate(adapters):
        save_adapter(base, adapter.folder, seed=number)
    weights = (adapters[0].folder / "adapter_model.safetensors").stat().st_size
    engine = open_transformers(base, adapter_bytes=2 * weights)
    sampling = Sampling(max_tokens=4, min_tokens=4)
    for number, adapter in enumerate(adapters):
        engine.add(EngineRequest(id=number, tokens=SHARED, sampling=sampling, adapter=adapter))
    engine.cancel([2])
    step = engine.step()
    assert engine.unfinished == 3
    assert step.prompt_tokens == 2 * len(SHARED)
    assert finish(engine).keys() == {0, 1, 3}
    engine.close()


#: Prints the resident bytes with the model alone, and with twenty adapters that have all run, and how often it loaded.
_MEASURE = """
import json, sys, psutil, torch
from pathlib import Path
import transformers
from longshore.workers.generate.engines.base import AdapterFiles, EngineRequest, Sampling
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.version import LanguageModel

torch.set_num_threads(1)
base, *adapters = map(Path, sys.argv[1:])
model = LanguageModel(key="key", folder=base, max_model_len=512, end_tokens=(2,))
engine = open_engine("transformers", model, torch.device("cpu"), EngineOptions(cache_bytes=1 << 24))
alone = psutil.Process().memory_info().rss
for number in range(3 * len(adapters)):
    folder = adapters[number % len(adapters)]
    engine.add(EngineRequest(id=number, tokens=[5, 6, 7], sampling=Sampling(max_tokens=4, min_tokens=4),
                             adapter=AdapterFiles(str(folder), folder)))
texts = 0
while engine.unfinished:
    texts += len(engine.step().completions)
print(json.dumps({"alone": alone, "with": psutil.Process().memory_info().rss, "texts": texts}))
"""


def test_twenty_adapters_take_their_own_memory_alone(tmp_path: Path) -> None:
    base = tmp_path / "base"
    # 20 times this model is far above the bound.
    save_language_model(base, width=512, layers=6, intermediate_size=2048)
    folders = [tmp_path / f"a{number}" for number in range(20)]
    save_adapter(base, folders[0], rank=8)
    for folder in folders[1:]:
        folder.mkdir()
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / file).write_bytes((folders[0] / file).read_bytes())
    weights = (base / "model.safetensors").stat().st_size
    assert weights > 80_000_000
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, base, *folders], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    adapters = sum((folder / "adapter_model.safetensors").stat().st_size for folder in folders)
    assert measured["texts"] == 60
    assert measured["with"] < measured["alone"] + adapters + 300_000_000
    assert measured["with"] - measured["alone"] > adapters / 2  # they were loaded
