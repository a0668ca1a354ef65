"""Bodies in JSON are read as Python's own reader does, and what it would take for something else is refused."""

from __future__ import annotations

import json
import random
import sys

import msgpack
import pytest

from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.serving.documents import memory_of, msgpack_to_json, read_json

NAMES = ["a", "b", '\\"', "\\\\", "é:", "\\u0041", "A", 'x\\": {']
VALUES = [
    "1",
    "1.5",
    '"a:b"',
    '"\\": "',
    '"\\\\"',
    '"x\\\\\\": {"',
    "null",
    "true",
    "1e999",
    "1e-400",
    "9" * 20,
]


def write(generator: random.Random, depth: int = 0) -> str:
    """A random document, in which names can come twice."""
    kind = generator.random()
    if kind < 0.3 and depth < 4:
        names = generator.choices(NAMES, k=generator.randint(0, 3))
        space = generator.choice(["", " ", "\n\t"])
        return "{" + ",".join(f'"{name}"{space}:{write(generator, depth + 1)}' for name in names) + "}"
    if kind < 0.5 and depth < 4:
        return "[" + ",".join(write(generator, depth + 1) for _ in range(generator.randint(0, 3))) + "]"
    return generator.choice(VALUES)


def reference(text: str) -> object:
    """What Python reads; ``None`` for a document with a name that comes twice, or a number that is not finite."""

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(items)) != len(items):
            raise ValueError
        return dict(items)

    def number(digits: str) -> float:
        if float(digits) == float("inf"):
            raise ValueError
        return float(digits)

    try:
        return [json.loads(text, object_pairs_hook=pairs, parse_float=number)]
    except ValueError:
        return None


def test_random_documents_are_read_as_python_reads_them() -> None:
    generator = random.Random(1)
    refused = 0
    for _ in range(20_000):
        text = write(generator)
        expected = reference(text)
        try:
            assert [read_json(text.encode())] == expected, text
        except Problem:
            assert expected is None, text
            refused += 1
    assert 1_000 < refused < 15_000


@pytest.mark.parametrize("text", ["", "{", '{"a":1,}', "NaN", '"\\ud800"', "[" * 300 + "]" * 300, '{"a":1} x'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="no JSON"):
        read_json(text.encode())


def memory_taken(value: object) -> int:
    """What the containers of a value take, as Python says; :func:`memory_of` counts no texts and numbers."""
    inner: list[object] = []
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        return 0
    return sys.getsizeof(value) + sum(memory_taken(each) for each in inner)


@pytest.mark.parametrize(
    "document",
    [
        [{}] * 20_000,
        [[]] * 20_000,
        [{"a": 1}] * 20_000,
        [[0] * 64] * 300,
        [{f"name {number}": number for number in range(100)}] * 100,
    ],
)
def test_the_memory_of_values_is_known_before_they_are_read(document: list[object]) -> None:
    taken = memory_taken(document)
    assert taken / 3 < memory_of(json.dumps(document).encode()) < taken * 3
    packed = msgpack.packb(document)
    assert json.loads(msgpack_to_json(packed, 3 * taken)) == document
    with pytest.raises(Problem, match="bytes of memory"):
        msgpack_to_json(packed, taken // 3)


@pytest.mark.parametrize("text", ['[{"' * 100_000, '\\"' * 500_000])
def test_texts_with_brackets_take_no_memory_for_objects(text: str) -> None:
    assert memory_of(json.dumps([text]).encode()) < 1_000 + 8 * (1 << 20)
    # Without an end, it is looked at once all the same.
    assert memory_of(b"[" * 200_000 + json.dumps(text).encode()[:-1]) < 200_000 * 100
