"""What a worker's child and the process of an engine say to each other: one line of JSON for each message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from pydantic import TypeAdapter

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.workers.generate.engines.base import BegunText, EngineRequest, EngineStep
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.version import LanguageModel

Message = TypeVar("Message")


@dataclass(frozen=True, kw_only=True)
class OpenCall:
    """The first call: what to open. Its answer has :attr:`Answer.opened`."""

    model: LanguageModel
    device: Literal["cpu", "cuda"]
    options: EngineOptions


@dataclass(frozen=True, kw_only=True)
class Call:
    """A method of the engine. Each is answered, one after the other."""

    name: Literal["add", "step", "texts", "cancel"]
    #: Only for ``add``.
    request: EngineRequest | None = None
    #: Only for ``texts`` and ``cancel``.
    ids: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class EngineShape:
    """What an open engine has."""

    capacity: int
    nbytes: int


@dataclass(frozen=True, kw_only=True)
class CallError:
    """An error of a call."""

    #: ``engine``: the engine is of no use any more.
    kind: Literal["input", "blob", "engine"]
    text: str
    #: Only for ``input``.
    field: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call has returned."""

    opened: EngineShape | None = None
    #: Only for ``step``.
    step: EngineStep | None = None
    #: Only for ``texts``.
    texts: dict[int, BegunText] = field(default_factory=dict)
    error: CallError | None = None


OPEN_CALL: Final = TypeAdapter(OpenCall)
CALL: Final = TypeAdapter(Call)
ANSWER: Final = TypeAdapter(Answer)


def write(adapter: TypeAdapter[Message], message: Message) -> bytes:
    """A message as a line."""
    # Not dump_json, which writes no infinite numbers: log probabilities can be.
    return json.dumps(adapter.dump_python(message, mode="json")).encode() + b"\n"


def call_error(error: Exception) -> CallError:
    """What is said of an error of the engine."""
    if isinstance(error, InvalidInput):
        return CallError(kind="input", text=error.reason, field=error.field)
    if isinstance(error, CorruptBlob):
        return CallError(kind="blob", text=str(error))
    return CallError(kind="engine", text=f"failed: {type(error).__name__}: {error}")
