"""An engine on vLLM that answers over pipes: ``python -m tests.vllm_server FOLDER``, in the environment of vLLM.

Each line that it reads is a call as JSON, and each line that it writes the answer. See
:class:`~tests.vllm_remote.RemoteEngine`, which is the other end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import IO

import torch
from pydantic import TypeAdapter

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.base import BegunText, Engine, EngineRequest, EngineStep
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.version import LanguageModel

_REQUEST = TypeAdapter(EngineRequest)
_STEP = TypeAdapter(EngineStep)
_TEXTS = TypeAdapter(dict[int, BegunText])
_OPTIONS = TypeAdapter(EngineOptions)


def main(folder: str, max_model_len: str, ends: str, options: str) -> None:
    """Open an engine, and answer until the other end closes its pipe."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    model = LanguageModel(
        key="model", folder=Path(folder), max_model_len=int(max_model_len), end_tokens=tuple(json.loads(ends))
    )
    before = _process_state()
    try:
        engine = open_engine("vllm", model, torch.device("cpu"), _OPTIONS.validate_json(options))
    except InvalidInput as error:
        _answer(answers, {"field": error.field, "reason": error.reason})
        return
    _answer(answers, {"before": before, "after": _process_state()})
    for line in sys.stdin:
        call = json.loads(line)
        try:
            _answer(answers, _run(engine, call["name"], call["argument"]))
        except InvalidInput as error:
            _answer(answers, {"field": error.field, "reason": error.reason})
    engine.close()


def _run(engine: Engine, name: str, argument: str) -> object:
    if name == "add":
        engine.add(_REQUEST.validate_json(argument))
        return None
    if name == "cancel":
        engine.cancel(json.loads(argument))
        return None
    if name == "texts":
        return _TEXTS.dump_python(engine.texts(json.loads(argument)), mode="json")
    if name == "step":
        return _STEP.dump_python(engine.step(), mode="json")
    numbers = (engine.max_model_len, engine.capacity, engine.unfinished, engine.nbytes)
    return dict(zip(("max_model_len", "capacity", "unfinished", "nbytes"), numbers, strict=True))


def _process_state() -> dict[str, object]:
    """What an engine must leave as it was in the process of a worker."""
    handlers = [str(signal.getsignal(number)) for number in signal.valid_signals()]
    return {"variables": dict(os.environ), "handlers": handlers, "threads": torch.get_num_threads()}


def _answer(answers: IO[str], answer: object) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
