"""The texts of the engine on vLLM: what each has, and which can go on where another request has left them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from longshore.workers.generate.engines.base import BegunText, EngineRequest, Sampling, TokenLogprob

if TYPE_CHECKING:
    from vllm.outputs import CompletionOutput


@dataclass
class VllmText:
    """A request that has not ended."""

    request: EngineRequest
    #: What vLLM reads after the prompt, as a part of it.
    begun: BegunText | None
    #: What vLLM has generated.
    output: CompletionOutput | None = None
    #: Tokens of it that were counted.
    counted: int = 0
    #: Tokens of the text that the caller was given before the end. A restart does not give them again.
    streamed: int = 0

    @property
    def begun_tokens(self) -> list[int]:
        """The tokens of the begun text."""
        return [] if self.begun is None else list(self.begun.tokens)

    def so_far(self, count: int | None = None) -> BegunText:
        """The text.

        :param count: tokens that count of what vLLM has generated; ``None``: all.
        """
        if self.output is None:
            return BegunText(self.begun_tokens, None if self.begun is None else self.begun.logprobs)
        tokens = list(self.output.token_ids)[:count]
        logprobs = _logprobs(self.output, self.request.sampling.logprobs, len(tokens))
        if logprobs is not None and self.begun is not None:
            logprobs = (*(self.begun.logprobs or ()), *logprobs)
        return BegunText(self.begun_tokens + tokens, logprobs)

    def restart(self) -> None:
        """What vLLM has of the text is lost. The text goes on with what it has here, if it can."""
        if continues(self.request.sampling) and (text := self.so_far()).tokens:
            self.begun = text
        self.output, self.counted = None, 0


def continues(sampling: Sampling) -> bool:
    """Whether a text can go on as a part of the prompt. vLLM counts penalties but that for repetition, draws by a seed,
    follows a grammar and looks for stop texts from the end of the prompt on.
    """
    drawn_by_seed = sampling.seed is not None and sampling.temperature > 0
    penalties = sampling.presence_penalty or sampling.frequency_penalty
    return not (drawn_by_seed or penalties or sampling.constraint is not None or sampling.stop)


def _logprobs(text: CompletionOutput, top: int | None, count: int) -> tuple[TokenLogprob, ...] | None:
    if top is None or text.logprobs is None:
        return None
    found = []
    for token, candidates in zip(text.token_ids[:count], text.logprobs[:count], strict=True):
        ranked = sorted(
            (entry.rank, each, entry.logprob) for each, entry in candidates.items() if (entry.rank or 0) <= top
        )
        best = tuple((each, logprob) for _, each, logprob in ranked)
        found.append(TokenLogprob(token, candidates[token].logprob, best))
    return tuple(found)
