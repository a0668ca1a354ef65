"""How texts become the ids that a family reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: What the tokenizer is called in the folder of a version.
TOKENIZER_FILE = "tokenizer.json"
#: Tokens of a text that are read, where nothing else is said.
LENGTH = 256
#: Entries that the smallest tokenizer of a kind has: padding, and the unknown word or all bytes.
_SMALLEST = {"words": 3, "wordpiece": 3, "bpe": 257}


class Tokenizer(BaseModel):
    """A tokenizer that is trained on the rows to train on, or that of a version.

    A string stands for ``{"version": ...}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: ``words``: whole words and punctuation; those that are not known are one id. ``wordpiece``: parts of words, as
    #: BERT has them (https://arxiv.org/abs/1609.08144). ``bpe``: parts of words made of bytes, as GPT-2 has them
    #: (https://arxiv.org/abs/1508.07909), so that nothing is unknown.
    kind: Literal["words", "wordpiece", "bpe"] = "words"
    #: Entries at most, padding included.
    vocabulary: Annotated[int, Field(ge=3, le=2**24)] = 20_000
    #: Tokens of a text that are read; the rest is cut. ``None``: 256, or those of the version.
    length: Annotated[int, Field(ge=1, le=65_536)] | None = None
    #: Capital letters are read as small ones.
    lowercase: bool = True
    #: Words, or pairs of parts, that occur less often are no entries.
    min_frequency: Annotated[int, Field(ge=1)] = 2
    #: The version whose tokenizer is used, in place of all but ``length``.
    version: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, value: object) -> object:
        return {"version": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _go_together(self) -> Tokenizer:
        if self.version is not None:
            for name in ("kind", "vocabulary", "lowercase", "min_frequency"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"the tokenizer of {self.version} is as it is; leave {name} out")
        if self.vocabulary < _SMALLEST[self.kind]:
            raise ValueError(f"a vocabulary of {self.kind} has {_SMALLEST[self.kind]} entries or more")
        return self
