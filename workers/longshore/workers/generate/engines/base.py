"""The engine interface: requests go in at any time, each step computes one token or more for those that run.

An engine is used by one thread. What belongs to its library stays in its file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

#: Why an engine has ended a text: the model ended it or a stop text was met, or it is as long as it may become.
EngineFinish: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True)
class Constraint:
    """What a text must match. Exactly one of the schema, the expression and the choices is set."""

    #: A JSON Schema, as JSON text.
    json_schema: str | None = None
    #: A regular expression, which the whole text matches.
    regex: str | None = None
    #: The text is one of these.
    choices: tuple[str, ...] | None = None
    #: Whether the schema is that of calls that the text must make.
    is_call: bool = False

    @property
    def option(self) -> str:
        """The option that it comes from."""
        if self.json_schema is not None:
            return "tool_choice" if self.is_call else "schema"
        return "regex" if self.regex is not None else "choices"


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen, and when a text ends."""

    #: Tokens to generate, at most.
    max_tokens: int
    #: Tokens before which the text does not end.
    min_tokens: int = 0
    #: 0: always the most probable token.
    temperature: float = 0.0
    #: Only from the most probable tokens that have this probability together.
    top_p: float = 1.0
    #: Only from so many tokens; 0: from all.
    top_k: int = 0
    #: Only from tokens with at least this fraction of the probability of the most probable one.
    min_p: float = 0.0
    #: Divides the positive logits of tokens of the prompt and the text, and multiplies the negative ones.
    repetition_penalty: float = 1.0
    #: Subtracted from the logits of tokens that the text has.
    presence_penalty: float = 0.0
    #: Subtracted from the logit of a token for each time that the text has it.
    frequency_penalty: float = 0.0
    #: Texts before which the output ends; they are not part of it.
    stop: tuple[str, ...] = ()
    #: Determines the draws of this request alone. ``None``: drawn by the engine.
    seed: int | None = None
    #: Also return the log probability of each token, and of so many alternatives. ``None``: return none.
    logprobs: int | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True)
class AdapterFiles:
    """A LoRA adapter of the model."""

    #: Tells adapters apart: a digest over its files.
    key: str
    #: Holds ``adapter_config.json`` and ``adapter_model.safetensors``.
    folder: Path


@dataclass(frozen=True)
class TokenLogprob:
    """The log probability of a token, before temperature and the like."""

    token: int
    logprob: float
    #: The most probable tokens with theirs, most probable first.
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class BegunText:
    """What a text has that has not ended."""

    #: At least one.
    tokens: Sequence[int]
    #: One for each of ``tokens``; ``None`` if they were not asked for.
    logprobs: Sequence[TokenLogprob] | None = None


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """A prompt as tokens. It fits the model: ``len(tokens) + sampling.max_tokens <= max_model_len``."""

    #: Chosen by the caller; no two requests have the same at a time.
    id: int
    #: At least one.
    tokens: Sequence[int]
    sampling: Sampling
    #: ``None``: the model alone.
    adapter: AdapterFiles | None = None
    #: Whether each step says which tokens the text has got by it.
    streamed: bool = False
    #: What an earlier request with the same prompt and options has computed of the text. The text goes on after these
    #: tokens, if the outcome is the one that it would have had, or, of tokens that are drawn without a seed, as
    #: probable. Otherwise it begins anew.
    begun: BegunText | None = None


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The end of a request."""

    id: int
    #: Those of the begun text among them, without the token that ended it.
    tokens: Sequence[int]
    #: Without special tokens and without the stop text.
    text: str
    finish: EngineFinish
    #: Tokens of the prompt whose keys and values were in the cache.
    cached_tokens: int = 0
    #: One for each of ``tokens``; ``None`` if they were not asked for.
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclass
class EngineStep:
    """What one step has done."""

    completions: list[Completion] = field(default_factory=list)
    #: Why requests were ended without a text, by their id: what the request asks for cannot be done.
    failures: dict[int, str] = field(default_factory=dict)
    #: Tokens of prompts and of begun texts that were read, and tokens that were generated, by all requests.
    prompt_tokens: int = 0
    generated_tokens: int = 0
    #: The tokens that streamed requests have got and that go on, by their id; with the first, those of a begun text.
    new_tokens: dict[int, Sequence[int]] = field(default_factory=dict)
    #: The ids of requests that have generated their first token and go on.
    started: list[int] = field(default_factory=list)


class Engine(Protocol):
    """A loaded language model."""

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and text together, at most."""

    @property
    def capacity(self) -> int:
        """Requests that the engine should have at a time, to be as fast as it can."""

    @property
    def unfinished(self) -> int:
        """Requests that were added and have not ended."""

    @property
    def nbytes(self) -> int:
        """Bytes of device memory that the weights and the cache take."""

    def add(self, request: EngineRequest) -> None:
        """Take a request. Its computation begins at the next step that has room.

        :raises InvalidInput: the request has a constraint that cannot be compiled, or an adapter that does not fit.
        """

    def step(self) -> EngineStep:
        """Compute. Returns at once if there is nothing to do."""

    def texts(self, ids: Collection[int]) -> dict[int, BegunText]:
        """What requests have so far, by their id, to be given to later requests as :attr:`EngineRequest.begun`.

        Requests without a token are left out, and those with which this engine would begin anew.
        """

    def cancel(self, ids: Collection[int]) -> None:
        """End requests without a result, and free their room. Ids that have ended are ignored."""

    def close(self) -> None:
        """Free the memory. Nothing else can be called after that."""
