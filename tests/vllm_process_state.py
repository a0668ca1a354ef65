"""What an engine on vLLM changes in the process of its caller: ``python -m tests.vllm_process_state FOLDER...``, in the
environment of vLLM.

It opens the model of each folder, one after the other, closes it, and prints a line of JSON: ``error``, if the engine
refuses the model; ``variables``, those of the environment that have changed; and ``others``, the names of other things
that have.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.version import LanguageModel


def _state() -> Mapping[str, object]:
    handlers = [str(signal.getsignal(number)) for number in signal.valid_signals()]
    return {"handlers": handlers, "threads": torch.get_num_threads()}


def main() -> None:
    """Open the models."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    for folder in sys.argv[1:]:
        model = LanguageModel(key="model", folder=Path(folder), max_model_len=256, end_tokens=(2,))
        variables, state, error = dict(os.environ), _state(), None
        try:
            engine = open_engine("vllm", model, torch.device("cpu"))
        except InvalidInput as refused:
            error = str(refused)
        now, others = dict(os.environ), [name for name, value in _state().items() if value != state[name]]
        changed = {
            name: now.get(name) for name in variables.keys() | now.keys() if now.get(name) != variables.get(name)
        }
        if error is None:
            engine.close()
        lines.write(json.dumps({"error": error, "variables": changed, "others": others}) + "\n")


if __name__ == "__main__":
    main()
