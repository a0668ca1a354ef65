"""The tokenizer option: how texts are converted to the ids that a family reads."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from longshore.shared.vocabulary import TokenizerKind

#: The name of the tokenizer in a version's folder.
TOKENIZER_FILE = "tokenizer.json"
#: How many tokens of a text are read by default.
DEFAULT_LENGTH = 256
#: The smallest vocabulary of each kind: padding, the unknown word or all bytes, and one entry.
_MIN_VOCABULARY = {"words": 3, "wordpiece": 3, "bpe": 257}


class Tokenizer(BaseModel):
    """A tokenizer that is trained on the training rows, or the tokenizer of an existing version.

    A string is short for ``{"version": ...}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: TokenizerKind = "words"
    """``words``: whole words and punctuation; all unknown words have one id. ``wordpiece``: subwords, as in BERT
    (https://arxiv.org/abs/1609.08144). ``bpe``: byte-level subwords, as in GPT-2
    (https://arxiv.org/abs/1508.07909), so that no text is unknown.
    """
    vocabulary: Annotated[int, Field(ge=3, le=2**24)] = 20_000
    """The largest number of entries, padding included."""
    length: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Tokens that are read of a text; the rest is cut. Default: 256, or the length of the version."""
    lowercase: bool = True
    """Convert texts to lower case."""
    min_frequency: Annotated[int, Field(ge=1)] = 2
    """Words, or pairs of subwords, that occur less often are not in the vocabulary."""
    version: str | None = None
    """The version whose tokenizer is used. It replaces all options but ``length``."""

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, value: object) -> object:
        return {"version": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _go_together(self) -> Tokenizer:
        if self.version is not None:
            for name in ("kind", "vocabulary", "lowercase", "min_frequency"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"the tokenizer of {self.version} cannot be changed; leave {name} out")
        if self.vocabulary < _MIN_VOCABULARY[self.kind]:
            raise ValueError(f"a vocabulary of {self.kind} needs at least {_MIN_VOCABULARY[self.kind]} entries")
        return self
