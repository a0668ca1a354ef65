"""How the texts of a row are sampled: what the row asks for, else what the job asks for, else what the version does."""

from __future__ import annotations

from typing import TypeVar

from longshore.shared.specs.generate import RowOptions
from longshore.workers.generate.engines.base import Constraint, Sampling
from longshore.workers.generate.version import GenerationDefaults

N = TypeVar("N", int, float)
#: Seeds are below it.
_SEEDS = 2**63


def make_samplings(
    options: RowOptions,
    defaults: GenerationDefaults,
    *,
    prompt_tokens: int,
    max_model_len: int,
    constraint: Constraint | None = None,
) -> tuple[Sampling, ...]:
    """One for each text of a row. Text i of a row with a seed has the seed plus i.

    :param options: of the row, with those of the job where it has none.
    :param defaults: of the version.
    :param prompt_tokens: tokens of the prompt.
    :param max_model_len: tokens of prompt and text together, at most.
    :param constraint: what each text must match. Default: nothing.
    :raises ValueError: the row does not fit into the model, or its options do not go together.
    """
    room = max_model_len - prompt_tokens
    if room < 1:
        raise ValueError(
            f"the prompt has {prompt_tokens:,} tokens; the version takes {max_model_len:,} for prompt and text together"
        )
    if options.max_tokens is not None and options.max_tokens > room:
        raise ValueError(
            f"max_tokens: {options.max_tokens:,}, and {prompt_tokens:,} tokens of the prompt, are more than the "
            f"{max_model_len:,} that the version takes; give at most {room:,}"
        )
    max_tokens = min(room, defaults.max_tokens) if options.max_tokens is None else options.max_tokens
    if options.min_tokens > max_tokens:
        raise ValueError(f"min_tokens: {options.min_tokens:,} is more than max_tokens, which is {max_tokens:,}")
    temperature = _given(options.temperature, defaults.temperature)
    if options.n > 1 and temperature == 0:
        raise ValueError(
            f"n: {options.n}: the temperature of the version is 0, with which all texts of a row are equal; give a "
            "temperature"
        )
    return tuple(
        Sampling(
            max_tokens=max_tokens,
            min_tokens=options.min_tokens,
            temperature=temperature,
            top_p=_given(options.top_p, defaults.top_p),
            top_k=_given(options.top_k, defaults.top_k),
            min_p=_given(options.min_p, defaults.min_p),
            repetition_penalty=_given(options.repetition_penalty, defaults.repetition_penalty),
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            stop=options.stop,
            seed=None if options.seed is None else (options.seed + index) % _SEEDS,
            logprobs=options.logprobs,
            constraint=constraint,
        )
        for index in range(options.n)
    )


def _given(value: N | None, default: N) -> N:
    return default if value is None else value
