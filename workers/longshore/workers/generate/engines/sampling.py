"""How the next tokens of a batch are chosen: each request by its own rules, whoever shares the batch."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList
from transformers.generation.continuous_batching.requests import FutureRequestState

from longshore.workers.generate.engines.base import Sampling, TokenLogprob
from longshore.workers.generate.engines.draws import Filters, draw, uniform

#: Temperatures below are 0: logits divided by them would be no numbers.
_MIN_TEMPERATURE = 1e-5


class TokenConstraint(Protocol):
    """Which tokens may come next in one text."""

    def fill_mask(self, mask: npt.NDArray[np.int32]) -> None:
        """Set bit ``i % 32`` of item ``i // 32`` if token ``i`` may come next."""

    def accept(self, token: int) -> None:
        """Take the token that was chosen. It was allowed."""


class RequestSampler:
    """Chooses the tokens of one request.

    :param prompt: its tokens.
    :param ends: tokens that end a text.
    :param mask_length: items of the masks of ``constraint``. They have a bit for each logit, or more.
    """

    def __init__(
        self,
        sampling: Sampling,
        prompt: Sequence[int],
        ends: Sequence[int],
        constraint: TokenConstraint | None = None,
        mask_length: int = 0,
    ) -> None:
        self.failure: str | None = None
        #: Of the last token, if the request asks for it.
        self.logprob: TokenLogprob | None = None
        self.logprobs = sampling.logprobs
        self.constraint = constraint
        self.filters: Filters | None = None
        if sampling.temperature >= _MIN_TEMPERATURE:
            self.filters = Filters(sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)
        self._sampling = sampling
        self._seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._ends = list(ends)
        self._seen = set(prompt) if sampling.repetition_penalty != 1 else None
        self._counts: Counter[int] | None = None
        if sampling.presence_penalty or sampling.frequency_penalty:
            self._counts = Counter()
        self._mask_length = mask_length
        self._taken = 0

    @property
    def plain(self) -> bool:
        """Whether the next token is the most probable one, and nothing else is asked for."""
        changed = self._seen is not None or self._counts is not None or self._taken < self._sampling.min_tokens
        return not changed and self.filters is None and self.logprobs is None and self.constraint is None

    def uniform(self) -> float:
        """The random number, from 0 up to 1, that chooses the next token."""
        return uniform(self._seed, self._taken)

    def adjust(self, logits: torch.Tensor) -> None:
        """Change the logits of the next token, ``(vocabulary,)``, in place."""
        penalty = self._sampling.repetition_penalty
        if self._seen:
            ids = torch.tensor(sorted(self._seen), device=logits.device)
            logits[ids] = torch.where(logits[ids] < 0, logits[ids] * penalty, logits[ids] / penalty)
        if self._counts:
            ids = torch.tensor(list(self._counts), device=logits.device)
            counts = torch.tensor(list(self._counts.values()), device=logits.device)
            logits[ids] -= self._sampling.presence_penalty + self._sampling.frequency_penalty * counts
        if self.constraint is not None:
            mask = np.zeros(self._mask_length, dtype=np.int32)
            self.constraint.fill_mask(mask)
            bits = np.unpackbits(mask.view(np.uint8), bitorder="little", count=len(logits))
            logits.masked_fill_(torch.from_numpy(bits == 0).to(logits.device), -torch.inf)
        if self._taken < self._sampling.min_tokens and self._ends:
            ends = logits[self._ends].clone()
            logits[self._ends] = -torch.inf
            if self.constraint is not None and not bool((logits > -torch.inf).any()):
                logits[self._ends] = ends  # a text that is complete ends, although it is short

    def take(self, token: int) -> None:
        """Take the token that was chosen."""
        self._taken += 1
        if self._seen is not None:
            self._seen.add(token)
        if self._counts is not None:
            self._counts[token] += 1
        if self.constraint is not None:
            self.constraint.accept(token)


class BatchSampler(ContinuousBatchingLogitsProcessorList):
    """Chooses the next token of each request of a batch.

    transformers takes the most probable token of what this returns, so a token that was drawn is made so.
    """

    def __init__(self) -> None:
        super().__init__(LogitsProcessorList())
        #: By the id that the request has in the batch.
        self.requests: dict[str, RequestSampler] = {}
        self.do_processing = True
        self._rows: list[RequestSampler] = []

    def prepare_tensor_args(
        self, requests_in_batch: list[FutureRequestState], arg_storage: torch.Tensor
    ) -> torch.Tensor:
        """Called by transformers before the network runs."""
        self._rows = [self.requests[each.state.request_id] for each in requests_in_batch if each.has_new_token]
        return arg_storage

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, logits_processor_args: torch.Tensor
    ) -> torch.Tensor:
        """Choose the next tokens.

        :param scores: the logits, ``(requests or more, vocabulary)``. They are changed.
        """
        logits = scores[: len(self._rows)]
        if logits.numel() == 0:
            return scores
        busy = [row for row, request in enumerate(self._rows) if not request.plain]
        wanting = [row for row in busy if self._rows[row].logprobs is not None]
        raw = logits[wanting].log_softmax(1) if wanting else None
        for row in busy:
            try:
                self._rows[row].adjust(logits[row])
            except Exception as error:  # of the library that checks the constraint: it ends this request alone
                self._rows[row].failure = f"its constraint cannot be followed: {error}"
        self._check(logits)
        self._draw(logits, busy)
        if busy:
            tokens = logits.argmax(1).tolist()
            if raw is not None:
                self._record(raw, wanting, tokens)
            for row in busy:
                self._take(self._rows[row], tokens[row])
        return scores

    def _check(self, logits: torch.Tensor) -> None:
        """Find the requests that have no next token."""
        best = logits.amax(1)
        if bool(best.isfinite().all()):
            return
        for row, value in enumerate(best.tolist()):
            if value in (torch.inf, -torch.inf) or value != value:
                constrained = value == -torch.inf and self._rows[row].constraint is not None
                self._rows[row].failure = self._rows[row].failure or (
                    "no token continues its text as its constraint asks"
                    if constrained
                    else "the network computed values that are no numbers for it"
                )
                logits[row] = 0

    def _draw(self, logits: torch.Tensor, busy: list[int]) -> None:
        groups: dict[Filters, list[int]] = {}
        for row in busy:
            filters = self._rows[row].filters
            if filters is not None:
                groups.setdefault(filters, []).append(row)
        for filters, rows in groups.items():
            chosen = draw(filters.apply(logits[rows]), [self._rows[row].uniform() for row in rows])
            logits[rows, chosen] = torch.inf

    def _record(self, raw: torch.Tensor, rows: list[int], tokens: list[int]) -> None:
        """Give each of ``rows`` the log probability of its token."""
        count = max(self._rows[row].logprobs or 0 for row in rows)
        best = raw.topk(count, dim=1)
        own = raw[torch.arange(len(rows)), [tokens[row] for row in rows]].tolist()
        for row, logprob, values, ids in zip(rows, own, best.values.tolist(), best.indices.tolist(), strict=True):
            top = tuple(zip(ids, values, strict=True))[: self._rows[row].logprobs]
            self._rows[row].logprob = TokenLogprob(tokens[row], logprob, top)

    @staticmethod
    def _take(request: RequestSampler, token: int) -> None:
        if request.failure is not None:
            return
        try:
            request.take(token)
        except Exception as error:  # as above
            request.failure = f"its constraint cannot be followed: {error}"
