"""Texts that an engine computes token by token: what each has so far, and when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longshore.workers.generate.engines.base import Completion, EngineFinish, EngineRequest, EngineStep, TokenLogprob
from longshore.workers.generate.engines.sampling import RequestSampler
from longshore.workers.generate.engines.stop_texts import StopTexts

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
        """A request without a token.

        :param read: what the decoder reads before the text: the repetition penalty counts it.
        :raises InvalidInput: the constraint cannot be compiled.
        """
        stop = StopTexts(self._tokenizer, request.sampling) if request.sampling.stop else None
        return RunningText(request, self._sampler(request, read), stop)

    def advance(self, running: RunningText, token: int, step: EngineStep, cached_tokens: int = 0) -> bool:
        """Give a request its next token, and the step its end. Returns whether it has ended.

        :param cached_tokens: as in :class:`Completion`.
        """
        if running.sampler.failure is not None:
            step.failures[running.request.id] = running.sampler.failure
            return True
        step.generated_tokens += 1
        finish, text = self._take(running, token)
        if finish is None:
            if running.request.streamed:
                step.new_tokens[running.request.id] = (token,)
            return False
        if text is None:
            text = self._tokenizer.decode(running.tokens, skip_special_tokens=True)
        completion = Completion(
            id=running.request.id,
            tokens=tuple(running.tokens),
            text=text,
            finish=finish,
            cached_tokens=cached_tokens,
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

    def _sampler(self, request: EngineRequest, read: Sequence[int]) -> RequestSampler:
        if request.sampling.constraint is None:
            return RequestSampler(request.sampling, read, self._ends)
        from longshore.workers.generate.constraints import ConstraintCompiler

        if self._compiler is None:
            self._compiler = ConstraintCompiler(self._tokenizer, self._vocabulary, self._ends)
        matcher = self._compiler.matcher(request.sampling.constraint)
        return RequestSampler(request.sampling, read, self._ends, matcher, self._compiler.mask_length)
