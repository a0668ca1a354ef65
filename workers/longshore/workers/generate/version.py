"""A version of a language model, as a worker runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longshore.workers.generate.engines.base import AdapterFiles


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """What an engine loads once, for all versions that are made of it."""

    #: Tells models apart: a digest over the files without those of an adapter.
    key: str
    #: ``config.json``, the weights and the tokenizer, as transformers reads them.
    folder: Path
    #: Tokens of prompt and text together, at most.
    max_model_len: int
    #: Tokens that end a text.
    end_tokens: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class GenerationDefaults:
    """What the options of a job are that are not given, from ``generation_config.json``."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, kw_only=True)
class LanguageVersion:
    """One version: a language model, perhaps with an adapter."""

    #: The digest of the version.
    digest: str
    model: LanguageModel
    #: ``None``: the model alone.
    adapter: AdapterFiles | None
    #: In Jinja; ``None``: the version answers prompts, and no messages.
    chat_template: str | None
    defaults: GenerationDefaults
    #: The names of special tokens and their texts, which a chat template can use: ``bos_token`` and the like.
    special_tokens: dict[str, str]
