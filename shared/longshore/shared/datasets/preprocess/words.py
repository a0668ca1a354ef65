"""The words of texts as hashed ids."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.column import Column
from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.types import is_text
from longshore.shared.datasets.columns.utf8 import valid_texts
from longshore.shared.specs.transforms import TextTransform

#: What separates words, and the scripts that are written without spaces: each of their characters is a word.
_BETWEEN, _UNSPACED = r"[^\p{L}\p{M}\p{N}]+", r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}])"


def encode_words(array: pa.Array, transform: TextTransform) -> Column:
    """The ids of the first words of each text, ``(n, length)``, 0 after the last. A missing text has no words.

    :raises TypeError: the column has no texts.
    """
    words = split_words(array)
    lengths = np.diff(words.offsets)
    out = np.zeros((len(lengths), transform.length), np.float32)
    places = np.arange(len(words.ids)) - np.repeat(words.offsets[:-1], lengths)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    read = places < transform.length
    hashed = np.array([zlib.crc32(word) % transform.buckets + 1 for word in words.different], np.float32)
    if len(words.ids):
        out[rows[read], places[read]] = hashed[words.ids[read]]
    cut = bool((lengths > transform.length).any())
    note = f"has texts of more than {transform.length} words; the rest of such a text is not read" if cut else None
    return Column(out, note=note)


class Words:
    """The words of n texts."""

    def __init__(self, lists: pa.Array) -> None:
        flat = lists.values.slice(lists.offsets[0].as_py(), lists.offsets[-1].as_py() - lists.offsets[0].as_py())
        filled = pc.not_equal(pc.binary_length(flat), 0).to_numpy(zero_copy_only=False)
        encoded = flat.filter(pa.array(filled)).dictionary_encode()
        before = np.concatenate([[0], np.cumsum(filled)])
        borders = lists.offsets.to_numpy() - lists.offsets[0].as_py()
        #: Text i has the words ``ids[offsets[i]:offsets[i + 1]]``.
        self.offsets: npt.NDArray[np.int64] = before[borders]
        #: Indexes into ``different``.
        self.ids: npt.NDArray[np.int32] = encoded.indices.to_numpy()
        #: The different words, UTF-8.
        self.different: list[bytes] = encoded.dictionary.cast(pa.large_binary()).to_pylist()


def count_words(texts: pa.Array) -> npt.NDArray[np.int64]:
    """How many words each text has, if only white space separates them: an identifier such as a UUID is one word.

    :param texts: valid UTF-8, ``large_string``. A missing text has no words.
    """
    spaced = pc.replace_substring_regex(texts.fill_null(""), _UNSPACED, r" \1 ")
    counts: npt.NDArray[np.int64] = pc.count_substring_regex(spaced, r"[^\s\p{Z}]+").to_numpy().astype(np.int64)
    return counts


def split_words(array: pa.Array) -> Words:
    """The words of texts in lower case, with compatible characters made equal (Unicode's NFKC).

    :raises TypeError: the column has no texts.
    """
    array = plain_texts(array) if is_json(array.type) else unwrap(array)
    if not (is_text(array.type) or pa.types.is_null(array.type)):
        raise TypeError(f"has the type {array.type}")
    valid = valid_texts(array.cast(pa.large_string())).fill_null("")
    texts = pc.utf8_lower(pc.utf8_normalize(valid, "NFKC"))
    spaced = pc.replace_substring_regex(texts, _UNSPACED, r" \1 ")
    return Words(pc.split_pattern_regex(spaced, _BETWEEN))
