"""Texts as tokens: what a text model's reader thread makes of a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.texts import to_texts
from longshore.shared.errors import CorruptBlob
from longshore.shared.huggingface.model import TextModel
from longshore.workers.runtimes.base import Places

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

#: The error of a row that the tokenizer cannot take, and of one of which it makes nothing.
_FAILS, _EMPTY = "column 'text': the tokenizer fails on it", "column 'text': the tokenizer makes no tokens of it"


@dataclass(frozen=True)
class Tokens:
    """A window of n texts."""

    #: Those of all texts, one after the other, int64.
    ids: npt.NDArray[np.int64]
    #: Where each text begins in ``ids``, ``(n,)``.
    starts: npt.NDArray[np.int64]
    #: Tokens of each text, ``(n,)``; 0 for a row with an error.
    lengths: npt.NDArray[np.int64]
    errors: dict[int, str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, places: Places, pad: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Ids of k rows with ``pad`` behind the shorter ones, and which are tokens: both ``(k, longest)``."""
        lengths = self.lengths[places][:, None]
        steps = np.arange(lengths.max(initial=0))
        real = steps < lengths
        where = np.where(real, self.starts[places][:, None] + steps, 0)
        return np.where(real, self.ids[where], pad) if len(self.ids) else where, real


class TextReader:
    """Tokenizes windows. ``prepare`` runs in native threads, beside the model.

    :param content: of ``tokenizer.json``.
    :raises CorruptBlob: the tokenizer cannot be made of it.
    """

    def __init__(self, content: str, model: TextModel) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Tokenizer = Tokenizer.from_str(content)
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(model.max_tokens, direction="left" if model.keep_end else "right")
            several = any(self._tokenizer.encode("a").type_ids)
        except BaseException as error:  # what panics in native code is no Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise CorruptBlob(f"tokenizer.json cannot be loaded: {error}") from None
        if several:
            raise CorruptBlob("tokenizer.json gives a single text token types other than 0; mend its post_processor")
        self._signature = model.signature
        self._longest = model.max_tokens
        self._prompt = "" if model.sentence is None else model.sentence.prompt
        self._lowercase = model.sentence is not None and model.sentence.lowercase

    def prepare(self, batch: pa.RecordBatch) -> Tokens:
        """See :meth:`Runtime.prepare`."""
        texts = to_texts(batch, self._signature)
        errors = texts.errors
        found = self._encoded([self._told(text) for text in texts.values], errors)
        lists = [[] if row in errors or each is None else each.ids for row, each in enumerate(found)]
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        for row in np.flatnonzero(lengths == 0).tolist():
            errors.setdefault(row, _EMPTY)
        ids = np.concatenate([np.asarray(each, np.int64) for each in lists]) if lists else np.zeros(0, np.int64)
        cut = any(each is not None and len(each) == self._longest and each.overflowing for each in found)
        notes = (f"texts of more than {self._longest} tokens are cut there",) if cut else ()
        return Tokens(ids, np.cumsum(lengths) - lengths, lengths, dict(sorted(errors.items())), notes)

    def _told(self, text: str) -> str:
        """The text as sentence-transformers gives it to the tokenizer."""
        text = self._prompt + text
        return text.lower() if self._lowercase else text

    def _encoded(self, texts: list[str], errors: dict[int, str]) -> Sequence[Encoding | None]:
        try:
            found: Sequence[Encoding] = self._tokenizer.encode_batch_fast(texts)
        except Exception:  # of native code, without a class of its own; one text alone is to blame
            return [self._one(row, text, errors) for row, text in enumerate(texts)]
        return found

    def _one(self, row: int, text: str, errors: dict[int, str]) -> Encoding | None:
        try:
            return self._tokenizer.encode(text)
        except Exception:  # as above
            errors.setdefault(row, _FAILS)
            return None
