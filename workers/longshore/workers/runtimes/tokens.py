"""Tokenizes windows of texts in the reader thread of a text model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.texts import text_errors, to_texts
from longshore.shared.errors import CorruptBlob
from longshore.shared.model_formats.huggingface.files import parse_json
from longshore.shared.model_formats.tokenizer_limits import tokenizer_fault
from longshore.shared.specs.signature import Signature
from longshore.workers.runtimes.base import RowSelection

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


@dataclass(frozen=True)
class TokenizationConfig:
    """The tokenization settings of a model."""

    #: Has the column of texts that the model reads, or the two of a pair.
    signature: Signature
    #: Maximum tokens of a text, or of a pair, including special tokens.
    longest: int
    #: Truncate at the beginning of the text instead of the end.
    keep_end: bool = False
    #: Prepended to every text; only to the first one of a pair.
    prompt: str = ""
    #: The ids of special tokens.
    special: frozenset[int] = frozenset()
    #: Whether the places of tokens in the texts are needed.
    places: bool = False
    #: The id of the token for words that are not known.
    unknown: int | None = None
    #: Whether the model is told by token types which tokens are those of the second text of a pair.
    types: bool = False
    #: The token id for a text without tokens; ``None`` makes such a row an error.
    empty: int | None = None


@dataclass(frozen=True)
class TokenPlaces:
    """Where the tokens of a window are in its n texts. All arrays are like ``Tokens.ids``."""

    #: ``(n,)``.
    texts: Sequence[str]
    #: The first character of each token in its text, and that after the last one.
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    #: True for tokens that are not of the text.
    special: npt.NDArray[np.bool_]
    #: True for tokens that continue a word.
    subwords: npt.NDArray[np.bool_]


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
    #: The type of each token, like ``ids``; ``None`` if the model takes none.
    types: npt.NDArray[np.int64] | None = None
    #: ``None`` if they are not needed.
    places: TokenPlaces | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, places: RowSelection, pad: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The ids of k rows, padded with ``pad`` at the end, and a mask of the tokens; both ``(k, longest)``."""
        return self._padded(self.ids, places, pad)

    def padded_types(self, places: RowSelection) -> npt.NDArray[np.int64] | None:
        """The token types of k rows, padded with 0, ``(k, longest)``; ``None`` if the model takes none."""
        return None if self.types is None else self._padded(self.types, places, 0)[0]

    def _padded(
        self, values: npt.NDArray[np.int64], places: RowSelection, pad: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        lengths = self.lengths[places][:, None]
        steps = np.arange(lengths.max(initial=0))
        real = steps < lengths
        where = np.where(real, self.starts[places][:, None] + steps, 0)
        return np.where(real, values[where], pad) if len(values) else where, real


def parse_tokenizer(content: str) -> Tokenizer:
    """A tokenizer from the content of ``tokenizer.json``.

    :raises CorruptBlob: it is not valid.
    """
    from tokenizers import Tokenizer

    try:
        values = parse_json(content.encode())
        fault = tokenizer_fault(values) if isinstance(values, dict) else "it is not a JSON object"
        if fault is not None:
            raise ValueError(fault)
        tokenizer: Tokenizer = Tokenizer.from_str(content)
    except BaseException as error:
        _raise_again(error)
        raise CorruptBlob(f"tokenizer.json cannot be loaded: {error}") from None
    return tokenizer


def _raise_again(error: BaseException) -> None:
    """Raise what is no failure of a native library. A panic in one is not an ``Exception``."""
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | GeneratorExit):
        raise error


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
        except BaseException as error:
            _raise_again(error)
            raise CorruptBlob(f"tokenizer.json cannot be loaded: {error}") from None
        self._config = reading
        self._columns = reading.signature.features
        if several and len(self._columns) == 1:
            raise CorruptBlob("tokenizer.json gives a single text token types other than 0; correct its post_processor")

    @property
    def vocabulary(self) -> int:
        """The largest token id plus 1."""
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    @property
    def pair_types(self) -> int:
        """The largest type of a token of a pair plus 1; 0 if the model is not told."""
        return (
            0 if not self._config.types else 1 + max(self._tokenizer.encode_batch([("a", "b")])[0].type_ids, default=0)
        )

    @property
    def first(self) -> str | None:
        """The token with id 0."""
        return self._tokenizer.id_to_token(0)

    @property
    def prompt_tokens(self) -> int:
        """How many tokens of every text are those of the prompt, with the special ones before it; 0 without a prompt.

        Counted as sentence-transformers does: the tokens of the prompt alone, without a special one at the end.

        :raises CorruptBlob: the tokenizer fails on the prompt.
        """
        if not self._config.prompt:
            return 0
        errors: dict[int, str] = {}
        [encoding] = self._encoded([self._config.prompt], errors)
        if encoding is None or errors:
            raise CorruptBlob("tokenizer.json fails on the prompt")
        ids = encoding.ids
        return len(ids) - (1 if ids and ids[-1] in self._config.special else 0)

    def prepare(self, batch: pa.RecordBatch) -> Tokens:
        """See :meth:`Runtime.prepare`."""
        errors = text_errors(batch, self._columns)
        first, *second = [to_texts(batch, feature).values for feature in self._columns]
        if prompt := self._config.prompt:
            first = [prompt + text for text in first]
        encodings = self._encoded(list(zip(first, *second, strict=True)) if second else first, errors)
        lists = [[] if row in errors or each is None else each.ids for row, each in enumerate(encodings)]
        for row in [row for row, each in enumerate(lists) if not each and row not in errors]:
            if self._config.empty is None:
                errors[row] = f"column {self._columns[0].name!r}: the tokenizer makes no tokens of it"
            else:
                lists[row] = [self._config.empty]
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        ids = np.concatenate([np.asarray(each, np.int64) for each in lists]) if lists else np.zeros(0, np.int64)
        longest = self._config.longest
        cut = any(each is not None and len(each) == longest and each.overflowing for each in encodings)
        notes = (f"texts of more than {longest} tokens are cut there",) if cut else ()
        types = self._types(encodings, lengths) if self._config.types else None
        places = self._places(first, encodings, lengths) if self._config.places else None
        return Tokens(ids, np.cumsum(lengths) - lengths, lengths, dict(sorted(errors.items())), notes, types, places)

    def _places(
        self, texts: Sequence[str], encodings: Sequence[Encoding | None], lengths: npt.NDArray[np.int64]
    ) -> TokenPlaces:
        """The places of the tokens of all rows without an error."""
        starts: list[int] = []
        ends: list[int] = []
        special: list[bool] = []
        subwords: list[bool] = []
        has_prefix = bool(getattr(self._tokenizer.model, "continuing_subword_prefix", None))
        for text, encoding, length in zip(texts, encodings, lengths.tolist(), strict=True):
            if encoding is None or not length:
                continue
            special += map(bool, encoding.special_tokens_mask)
            for id_, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
                starts.append(start)
                ends.append(end)
                # As the pipeline of transformers decides it, also for tokenizers that do not know words.
                if id_ == self._config.unknown:
                    subwords.append(False)
                elif has_prefix:
                    subwords.append(len(self._tokenizer.id_to_token(id_) or "") != end - start)
                else:
                    subwords.append(start > 0 and " " not in text[start - 1 : start + 1])
        return TokenPlaces(
            texts,
            np.array(starts, np.int64),
            np.array(ends, np.int64),
            np.array(special, np.bool_),
            np.array(subwords, np.bool_),
        )

    @staticmethod
    def _types(encodings: Sequence[Encoding | None], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The types of the tokens of all rows without an error."""
        lists = [each.type_ids for each, length in zip(encodings, lengths, strict=True) if each is not None and length]
        return np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum()))

    def _encoded(self, texts: Sequence[str | tuple[str, ...]], errors: dict[int, str]) -> Sequence[Encoding | None]:
        try:
            # The fast one gives no places.
            encode = self._tokenizer.encode_batch if self._config.places else self._tokenizer.encode_batch_fast
            encodings: Sequence[Encoding] = encode(texts)
        except BaseException as error:  # an error or a panic in native code, caused by a single text
            _raise_again(error)
            return [self._one(row, text, errors) for row, text in enumerate(texts)]
        return encodings

    def _one(self, row: int, text: str | tuple[str, ...], errors: dict[int, str]) -> Encoding | None:
        try:
            return self._tokenizer.encode_batch([text])[0]
        except BaseException as error:  # as above
            _raise_again(error)
            errors.setdefault(row, f"column {self._columns[0].name!r}: the tokenizer fails on it")
            return None
