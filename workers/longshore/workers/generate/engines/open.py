"""Which engine runs a model, and how it is opened. A new engine is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias, TypeVar

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generation_settings import GenerationSettings
from longshore.shared.vocabulary import EngineName
from longshore.workers.generate.engines.base import Engine
from longshore.workers.generate.engines.options import DEFAULT_OPTIONS, EngineOptions
from longshore.workers.generate.version import LanguageModel

Number = TypeVar("Number", int, float)
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
    #: Whether a process has room for one of it, which takes a share of the device's memory for itself.
    alone: bool = False


_ENGINES: Final[dict[RealEngineName, _Registration]] = {
    "transformers": _Registration("transformers", "huggingface", "longshore.workers.generate.engines.transformers"),
    "vllm": _Registration("vllm", "vllm", "longshore.workers.generate.engines.vllm", alone=True),
}
#: Runs encoders with decoders, whatever the name of the engine: vLLM does not have them.
_SEQ2SEQ: Final = "longshore.workers.generate.engines.seq2seq"


def runs_alone(name: RealEngineName) -> bool:
    """Whether others of this name are to be closed before one is opened, and other models on its GPU unloaded."""
    return _ENGINES[name].alone


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

    :param options: what the worker chooses. What is left at its default is as the version asks for it.
    :raises InvalidInput: this worker lacks the engine, or the engine cannot run the model.
    :raises CorruptBlob: the files cannot be loaded.
    """
    module = _SEQ2SEQ if model.encoder_decoder else _ENGINES[choose_engine(name, device)].module
    opener: Opener = import_module(module).open_engine
    return opener(model, device, _merge(options or DEFAULT_OPTIONS, model.settings))


def _merge(options: EngineOptions, settings: GenerationSettings) -> EngineOptions:
    """The options, with the settings of the version in place of defaults."""
    return replace(
        options,
        dtype=settings.dtype or "auto" if options.dtype == DEFAULT_OPTIONS.dtype else options.dtype,
        memory_share=_choose(options.memory_share, DEFAULT_OPTIONS.memory_share, settings.memory_share),
        tensor_parallel=_choose(options.tensor_parallel, DEFAULT_OPTIONS.tensor_parallel, settings.tensor_parallel),
        quantization=options.quantization or settings.quantization,
    )


def _choose(option: Number, default: Number, setting: Number | None) -> Number:
    return option if option != default or setting is None else setting
