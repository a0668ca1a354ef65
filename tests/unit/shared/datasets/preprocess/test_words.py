from __future__ import annotations

import re
import unicodedata
import zlib

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.datasets.columns.column import Column
from longshore.shared.datasets.preprocess.encode import encode_column
from longshore.shared.datasets.preprocess.words import count_words, split_words
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import TextTransform


def words(*texts: str | None) -> list[list[str]]:
    split = split_words(pa.array(texts, pa.string()))
    different = [word.decode() for word in split.different]
    assert len(split.offsets) == len(texts) + 1
    return [
        [different[each] for each in split.ids[start:stop]]
        for start, stop in zip(split.offsets[:-1], split.offsets[1:], strict=True)
    ]


def encode(array: pa.Array, length: int = 4, buckets: int = 1000) -> Column:
    transform = TextTransform(length=length, buckets=buckets, width=8)
    return encode_column(array, Feature(name="x", kind="text", transform=transform))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good VALUE, good price!", ["good", "value", "good", "price"]),
        ("don't re-use C++17", ["don", "t", "re", "use", "c", "17"]),
        ("  \n\t ", []),
        ("", []),
        ("...", []),
        ("Straße ÉTÉ", ["straße", "été"]),
        ("ﬁne Ｆｕｌｌ ①", ["fine", "full", "1"]),
        ("e\N{COMBINING ACUTE ACCENT}", ["é"]),
        ("我爱北京 abc", ["我", "爱", "北", "京", "abc"]),
        ("ひらカタ漢字", ["ひ", "ら", "カ", "タ", "漢", "字"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("Привет мир", ["привет", "мир"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("a\N{GRINNING FACE}b", ["a", "b"]),
    ],
)
def test_words_of_many_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == [[unicodedata.normalize("NFKC", word) for word in expected]]
    # Neighbours do not matter.
    assert words("x y", text, None, text)[1::2] == [words(text)[0]] * 2


def test_words_between_spaces() -> None:
    texts = ["550e8400-e29b-41d4", "one two\tthree\n", None, "", "  ", "a.b@c.de", "我爱 abc", "a\N{NO-BREAK SPACE}b"]
    assert count_words(pa.array(texts, pa.large_string())).tolist() == [1, 3, 0, 0, 0, 1, 3, 2]


def test_ids_are_hashes_in_the_order_of_the_words() -> None:
    made = encode(pa.array(["b a b", None, "", "a"]))
    a, b = (zlib.crc32(word) % 1000 + 1 for word in (b"a", b"b"))
    assert made.values.tolist() == [[b, a, b, 0], [0] * 4, [0] * 4, [a, 0, 0, 0]]
    assert made.errors == {}
    assert made.note is None


def test_words_beyond_the_length_are_cut_and_noted() -> None:
    made = encode(pa.array(["a b c", "a b"]), length=2)
    assert made.note == "has texts of more than 2 words; the rest of such a text is not read"
    assert made.values[0].tolist() == made.values[1].tolist()
    assert encode(pa.array(["a b"]), length=2).note is None


def test_ids_stay_within_the_buckets_and_are_exact() -> None:
    many = pa.array([" ".join(f"w{number}" for number in range(5000))])
    for buckets in (16, 2**22):
        made = encode(many, length=5000, buckets=buckets).values[0]
        assert made.min() >= 1
        assert made.max() <= buckets
        assert (made == np.round(made)).all()
        expected = [zlib.crc32(f"w{number}".encode()) % buckets + 1 for number in range(5000)]
        assert made.astype(int).tolist() == expected


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["x", "one Two", None, "y"]).slice(1, 2),
        pa.array(["one Two", None], pa.large_string()),
        pa.array(["one Two", None]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_containers_of_text(array: pa.Array) -> None:
    assert encode(array).values.tolist() == encode(pa.array(["one two", ""])).values.tolist()
    assert encode(pa.array([None, None])).values.tolist() == [[0] * 4] * 2
    assert encode(pa.array([], pa.string())).values.shape == (0, 4)


def test_bytes_that_are_not_utf8_separate_words() -> None:
    texts = pa.array([b"one \xff two", b"one"], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 2, texts.buffers())
    assert encode(broken).values.tolist() == encode(pa.array(["one two", "one"])).values.tolist()


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match=re.escape("int64")):
        encode(pa.array([1]))
