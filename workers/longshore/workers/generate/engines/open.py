"""Which engine runs a model, and how it is opened. A new engine is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.vocabulary import EngineName
from longshore.workers.generate.engines.base import Engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.version import LanguageModel

#: An engine, chosen.
RealEngineName: TypeAlias = Literal["transformers", "vllm"]
#: Opens an engine: what the file of each engine has, by the name ``open_engine``.
Opener: TypeAlias = Callable[[LanguageModel, torch.device, EngineOptions], Engine]


@dataclass(frozen=True)
class _Registration:
    #: The package that the engine needs.
    package: str
    #: The extra of Longshore that installs it.
    extra: str
    #: Has the opener. It is imported when an engine is opened, because that takes seconds.
    module: str


_ENGINES: Final[dict[RealEngineName, _Registration]] = {
    "transformers": _Registration("transformers", "huggingface", "longshore.workers.generate.engines.transformers"),
    "vllm": _Registration("vllm", "vllm", "longshore.workers.generate.engines.vllm"),
}


def choose_engine(name: EngineName, device: torch.device) -> RealEngineName:
    """The engine that a job runs on. ``auto``: vLLM on a GPU if it is installed, else transformers.

    :raises InvalidInput: this worker lacks the engine.
    """
    if name == "auto":
        name = "vllm" if device.type == "cuda" and find_spec("vllm") is not None else "transformers"
    engine = _ENGINES[name]
    if find_spec(engine.package) is None:
        raise InvalidInput(
            "engine",
            f"{engine.package} is not installed on this worker; pip install 'longshore[{engine.extra}]', or choose "
            "another engine",
        )
    return name


def open_engine(
    name: EngineName, model: LanguageModel, device: torch.device, options: EngineOptions | None = None
) -> Engine:
    """Load a model into the engine that :func:`choose_engine` names.

    :param options: default: the settings of the version.
    :raises InvalidInput: this worker lacks the engine, or the engine cannot run the model.
    :raises CorruptBlob: the files cannot be loaded.
    """
    opener: Opener = import_module(_ENGINES[choose_engine(name, device)].module).open_engine
    return opener(model, device, options or EngineOptions.of_version(model.settings))
