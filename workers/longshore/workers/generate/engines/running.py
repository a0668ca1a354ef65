"""Texts that an engine computes token by token: what each has so far, and when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longshore.workers.generate.engines.base import (
    BegunText,
    Completion,
    EngineFinish,
    EngineRequest,
    EngineStep,
    TokenLogprob,
)
from longshore.workers.generate.engines.sampling import RequestSampler
from longshore.workers.generate.engines.texts.begun import begun_text
from longshore.workers.generate.engines.texts.stop_texts import StopTexts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from longshore.workers.generate.constraints import ConstraintCompiler


@dataclass
class RunningText:
    """A request, and what it has so far."""

    request: EngineRequest
    sampler: RequestSampler
    #: ``None``: the request has no stop texts.
    stop: StopTexts | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    #: Tokens that it had from the beginning.
    begun: int = 0

    @property
    def started(self) -> bool:
        """Whether it has got a token."""
        return len(self.tokens) > self.begun

    @property
    def so_far(self) -> BegunText:
        """What it has."""
        logprobs = None if self.request.sampling.logprobs is None else tuple(self.logprobs)
        return BegunText(tuple(self.tokens), logprobs)

    @property
    def length(self) -> int:
        """Tokens of prompt and text."""
        return len(self.request.tokens) + len(self.tokens)


class TextRules:
    """How the texts of one model begin, go on and end.

    :param vocabulary: tokens of the network. A tokenizer can have more.
    :param ends: tokens that end a text; those that the network does not have are left out.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, ends: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ends = sorted(token for token in ends if token < vocabulary)
        self._compiler: ConstraintCompiler | None = None

    def begin(self, request: EngineRequest, read: Sequence[int]) -> RunningText:
        """A request without a token, or with those of its begun text: all that was drawn, counted and matched for them
        is so again.

        :param read: what the decoder reads before the text: the repetition penalty counts it.
        :raises InvalidInput: the constraint cannot be compiled.
        """
        running = self._without_tokens(request, read)
        begun = begun_text(request, self._vocabulary)
        if begun is None:
            return running
        try:
            for token in begun.tokens:
                running.sampler.take(token)
        except Exception:  # of the library that checks the constraint: they do not match it
            return self._without_tokens(request, read)
        running.tokens += begun.tokens
        running.logprobs += begun.logprobs or ()
        running.begun = len(begun.tokens)
        return running

    def advance(self, running: RunningText, token: int, step: EngineStep, cached_tokens: int = 0) -> bool:
        """Give a request its next token, and the step its end. Returns whether it has ended.

        :param cached_tokens: as in :class:`Completion`.
        """
        if running.sampler.failure is not None:
            step.failures[running.request.id] = running.sampler.failure
            return True
        step.generated_tokens += 1
        first = not running.started
        finish, text = self._take(running, token)
        if finish is None:
            if first:
                step.started.append(running.request.id)
            if running.request.streamed:
                step.new_tokens[running.request.id] = tuple(running.tokens) if first else (token,)
            return False
        if text is None:
            text = self._tokenizer.decode(running.tokens, skip_special_tokens=True)
        completion = Completion(
            id=running.request.id,
            tokens=tuple(running.tokens),
            text=text,
            finish=finish,
            cached_tokens=min(cached_tokens, len(running.request.tokens)),
            logprobs=None if running.request.sampling.logprobs is None else tuple(running.logprobs),
        )
        step.completions.append(completion)
        return True

    def _take(self, running: RunningText, token: int) -> tuple[EngineFinish | None, str | None]:
        """Why the text ends with this token, and the text before a stop text."""
        if token in self._ends:
            return "stop", None
        running.tokens.append(token)
        if running.sampler.logprob is not None:
            running.logprobs.append(running.sampler.logprob)
        sampling = running.request.sampling
        if running.stop is not None and len(running.tokens) > sampling.min_tokens:
            text = running.stop.cut(running.tokens)
            if text is not None:
                return "stop", text
        return ("length" if len(running.tokens) >= sampling.max_tokens else None), None

    def _without_tokens(self, request: EngineRequest, read: Sequence[int]) -> RunningText:
        stop = StopTexts(self._tokenizer, request.sampling) if request.sampling.stop else None
        return RunningText(request, self._sampler(request, read), stop)

    def _sampler(self, request: EngineRequest, read: Sequence[int]) -> RequestSampler:
        if request.sampling.constraint is None:
            return RequestSampler(request.sampling, read, self._ends)
        from longshore.workers.generate.constraints import ConstraintCompiler

        if self._compiler is None:
            self._compiler = ConstraintCompiler(self._tokenizer, self._vocabulary, self._ends)
        matcher = self._compiler.matcher(request.sampling.constraint)
        return RequestSampler(request.sampling, read, self._ends, matcher, self._compiler.mask_length)
