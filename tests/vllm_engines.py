"""The engine on vLLM in processes of the environment that has it, and how tests run it."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import torch

from longshore.workers.generate.engines.base import AdapterFiles, Completion, EngineRequest, Sampling
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.remote.client import RemoteEngine
from longshore.workers.generate.version import LanguageModel
from tests.language_models import CONTEXT
from tests.vllm_environment import ROOT, vllm_python, vllm_variables

#: ``<|im_end|>`` of the tokenizer of tests.
END = 2
#: Tokens that a request asks for.
TOKENS = 24
#: Room for the keys and values of some hundred requests.
_CACHE_BYTES = 1 << 27
#: For requests: no two have the same.
ids = count()


def open_vllm(folder: Path, tensor_parallel: int) -> RemoteEngine:
    """Open a model on CPUs, where vLLM's attention has no heads of 16 numbers. To be closed by the caller.

    :param tensor_parallel: 1: vLLM runs in the process that answers, as otherwise in a worker's child. More: in so many
        processes that it starts.
    """
    options = EngineOptions(tensor_parallel=tensor_parallel, cache_bytes=_CACHE_BYTES)
    python, variables = str(vllm_python()), vllm_variables()
    model = LanguageModel(key="model", folder=folder, max_model_len=CONTEXT, end_tokens=(END,))
    return RemoteEngine(model, torch.device("cpu"), options, python=python, variables=variables)


def process_states(*folders: Path) -> list[dict[str, object]]:
    """Open one model after the other in one process, and say what each has changed there: see
    :mod:`tests.vllm_process_state`.
    """
    done = subprocess.run(
        [vllm_python(), "-m", "tests.vllm_process_state", *map(str, folders)],
        env={**os.environ, **vllm_variables(), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def request(tokens: Sequence[int], adapter: AdapterFiles | None = None, **sampling: object) -> EngineRequest:
    """A request with an id of its own."""
    return EngineRequest(
        id=next(ids),
        tokens=tuple(tokens),
        sampling=Sampling(**{"max_tokens": TOKENS, **sampling}),  # type: ignore[arg-type]
        adapter=adapter,
    )


def finish(engine: RemoteEngine, streams: dict[int, list[int]] | None = None) -> dict[int, Completion]:
    """Step until no request is left. No request may fail.

    :param streams: gets the tokens of streamed requests.
    """
    done: dict[int, Completion] = {}
    while engine.unfinished:
        done |= step(engine, streams)
    return done


def step(engine: RemoteEngine, streams: dict[int, list[int]] | None = None) -> dict[int, Completion]:
    """Step once. No request may fail."""
    result = engine.step()
    assert result.failures == {}
    for id_, tokens in result.new_tokens.items():
        assert streams is not None, "none was to be streamed"
        streams.setdefault(id_, []).extend(tokens)
    return {completion.id: completion for completion in result.completions}


def run(engine: RemoteEngine, requests: Sequence[EngineRequest], *, late: int = 0) -> list[Completion]:
    """Run requests to their end. The last ``late`` of them come one by one, at every second step."""
    done: dict[int, Completion] = {}
    for each in requests[: len(requests) - late]:
        engine.add(each)
    for each in requests[len(requests) - late :]:
        done |= step(engine)
        engine.add(each)
        done |= step(engine)
    done |= finish(engine)
    return [done[each.id] for each in requests]


def prompts(number: int, longest: int = 200, seed: int = 0) -> list[list[int]]:
    """Random prompts of 1 to ``longest`` tokens."""
    draw = random.Random(seed)
    return [[draw.randrange(3, 380) for _ in range(draw.randint(1, longest))] for _ in range(number)]
