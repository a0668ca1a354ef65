"""What an engine in a process of its own is told, and what it is not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.base import Completion, EngineStep, TokenLogprob
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.remote.messages import ANSWER, Answer, call_error, write
from longshore.workers.generate.engines.remote.process import engine_environment
from longshore.workers.generate.engines.vllm import open_engine
from longshore.workers.generate.version import LanguageModel


def test_secrets_are_not_passed_to_an_engine() -> None:
    needed = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0,1", "LC_ALL": "C", "VLLM_LOGGING_LEVEL": "INFO"}
    secret = {
        "LONGSHORE_DATABASE_URL": "postgresql://user:word@host/base",
        "LONGSHORE_REDIS_URL": "redis://:word@host",
        "AWS_SECRET_ACCESS_KEY": "word",
        "HF_TOKEN": "word",
        "VLLM_API_KEY": "word",
    }
    assert engine_environment({**needed, **secret}) == needed


def test_a_step_arrives_as_it_was() -> None:
    logprobs = (TokenLogprob(5, -0.1, ((5, -0.1), (7, -math.inf))),)
    completion = Completion(id=3, tokens=(5,), text="é\n", finish="stop", cached_tokens=2, logprobs=logprobs)
    step = EngineStep([completion], {4: "why"}, prompt_tokens=9, generated_tokens=1, new_tokens={8: (1, 2)})
    line = write(ANSWER, Answer(step=step))
    assert line.count(b"\n") == 1
    arrived = ANSWER.validate_json(line).step
    assert arrived is not None
    assert arrived.completions[0].logprobs == logprobs
    assert (arrived.failures, arrived.prompt_tokens, arrived.completions[0].text) == ({4: "why"}, 9, "é\n")
    assert list(arrived.new_tokens[8]) == [1, 2]


def test_errors_keep_their_kind() -> None:
    refused = call_error(InvalidInput("schema", "is none"))
    assert (refused.kind, refused.field, refused.text) == ("input", "schema", "is none")
    assert call_error(RuntimeError("out of memory")).kind == "engine"


@pytest.mark.parametrize(("devices", "has"), [(1, "one GPU"), (2, "2 GPUs")])
def test_more_gpus_than_the_worker_has_are_refused_with_a_remedy(devices: int, has: str, tmp_path: Path) -> None:
    model = LanguageModel(key="a", folder=tmp_path, max_model_len=512, end_tokens=(2,))
    options = EngineOptions(tensor_parallel=4, devices=devices)
    with pytest.raises(InvalidInput, match=rf"tensor_parallel: 4: this worker has {has}; .*cuda:0\+cuda:1\+cuda:2"):
        open_engine(model, torch.device("cuda:0"), options)
