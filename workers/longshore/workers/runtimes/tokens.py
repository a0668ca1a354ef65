"""Tokenizes windows of texts in the reader thread of a text model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.texts import to_texts
from longshore.shared.errors import CorruptBlob
from longshore.shared.specs.signature import Signature
from longshore.workers.runtimes.base import RowSelection

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


@dataclass(frozen=True)
class TokenizationConfig:
    """The tokenization settings of a model."""

    #: Has the single column that the model reads.
    signature: Signature
    #: Maximum tokens of a text, including special tokens.
    longest: int
    #: Truncate at the beginning of the text instead of the end.
    keep_end: bool = False
    #: Prepended to every text.
    prompt: str = ""
    #: The token id for a text without tokens; ``None`` makes such a row an error.
    empty: int | None = None


@dataclass(frozen=True)
class Tokens:
    """A tokenized window of n texts."""

    #: The token ids of all texts, concatenated, int64.
    ids: npt.NDArray[np.int64]
    #: The index in ``ids`` at which each text begins, ``(n,)``.
    starts: npt.NDArray[np.int64]
    #: Tokens of each text, ``(n,)``; 0 for a row with an error.
    lengths: npt.NDArray[np.int64]
    errors: dict[int, str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, places: RowSelection, pad: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The ids of k rows, padded with ``pad`` at the end, and a mask of the tokens; both ``(k, longest)``."""
        lengths = self.lengths[places][:, None]
        steps = np.arange(lengths.max(initial=0))
        real = steps < lengths
        where = np.where(real, self.starts[places][:, None] + steps, 0)
        return np.where(real, self.ids[where], pad) if len(self.ids) else where, real


def parse_tokenizer(content: str) -> Tokenizer:
    """A tokenizer from the content of ``tokenizer.json``.

    :raises CorruptBlob: it is not valid.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Tokenizer = Tokenizer.from_str(content)
    except BaseException as error:  # a panic in native code is not an Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise CorruptBlob(f"tokenizer.json cannot be loaded: {error}") from None
    return tokenizer


class TextReader:
    """Tokenizes windows. ``prepare`` runs in native threads, in parallel to the model.

    :param tokenizer: its padding and truncation are replaced.
    :raises CorruptBlob: ``tokenizer`` cannot be used.
    """

    def __init__(self, tokenizer: Tokenizer, reading: TokenizationConfig) -> None:
        self._tokenizer = tokenizer
        try:
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(reading.longest, direction="left" if reading.keep_end else "right")
            several = any(self._tokenizer.encode("a").type_ids)
        except BaseException as error:  # a panic in native code is not an Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise CorruptBlob(f"tokenizer.json cannot be loaded: {error}") from None
        if several:
            raise CorruptBlob("tokenizer.json gives a single text token types other than 0; correct its post_processor")
        self._config = reading
        self._column = reading.signature.features[0].name

    @property
    def vocabulary(self) -> int:
        """The largest token id plus 1."""
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    @property
    def first(self) -> str | None:
        """The token with id 0."""
        return self._tokenizer.id_to_token(0)

    def prepare(self, batch: pa.RecordBatch) -> Tokens:
        """See :meth:`Runtime.prepare`."""
        texts = to_texts(batch, self._config.signature)
        errors = texts.errors
        prompt = self._config.prompt
        encodings = self._encoded([prompt + text for text in texts.values] if prompt else texts.values, errors)
        lists = [[] if row in errors or each is None else each.ids for row, each in enumerate(encodings)]
        for row in [row for row, each in enumerate(lists) if not each and row not in errors]:
            if self._config.empty is None:
                errors[row] = f"column {self._column!r}: the tokenizer makes no tokens of it"
            else:
                lists[row] = [self._config.empty]
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        ids = np.concatenate([np.asarray(each, np.int64) for each in lists]) if lists else np.zeros(0, np.int64)
        longest = self._config.longest
        cut = any(each is not None and len(each) == longest and each.overflowing for each in encodings)
        notes = (f"texts of more than {longest} tokens are cut there",) if cut else ()
        return Tokens(ids, np.cumsum(lengths) - lengths, lengths, dict(sorted(errors.items())), notes)

    def _encoded(self, texts: list[str], errors: dict[int, str]) -> Sequence[Encoding | None]:
        try:
            encodings: Sequence[Encoding] = self._tokenizer.encode_batch_fast(texts)
        except Exception:  # a native error without a class of its own, caused by a single text
            return [self._one(row, text, errors) for row, text in enumerate(texts)]
        return encodings

    def _one(self, row: int, text: str, errors: dict[int, str]) -> Encoding | None:
        try:
            return self._tokenizer.encode(text)
        except Exception:  # as above
            errors.setdefault(row, f"column {self._column!r}: the tokenizer fails on it")
            return None
