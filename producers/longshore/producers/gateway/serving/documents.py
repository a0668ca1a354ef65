"""Documents in bodies: JSON and msgpack, read strictly."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from typing import Final, NoReturn

import msgpack
from pydantic_core import from_json

from longshore.producers.gateway.problems import Problem

#: Of nested arrays and objects; more is refused.
MAX_DEPTH: Final = 200
#: An exponent that may make a number infinite.
_LONG_EXPONENT: Final = re.compile(rb"[0-9][eE]\+?[0-9]{3}")

#: A string of a document, and the colon behind it if it is a name.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"(\s*:)?', re.DOTALL)
_NESTED: Final = frozenset({dict, list})
#: Also one without an end, so that every byte is looked at once whatever the body is.
_ANY_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
#: Bytes that an object, an array and an entry of these take in memory, about.
_OBJECT_BYTES, _ARRAY_BYTES, _ENTRY_BYTES = 184, 88, 16
#: Memory up to which it is not looked whether brackets are those of texts.
_SMALL_BYTES: Final = 8 << 20


def memory_of(body: bytes) -> int:
    """Bytes that the values of a body in JSON take in memory, roughly; of empty objects, 50 times what the body has."""
    size = _memory_by_brackets(body)
    return size if size <= _SMALL_BYTES else _memory_by_brackets(_ANY_STRING.sub(b"", body))


def _memory_by_brackets(body: bytes) -> int:
    return body.count(b"{") * _OBJECT_BYTES + body.count(b"[") * _ARRAY_BYTES + body.count(b",") * _ENTRY_BYTES


def read_json(body: bytes) -> object:
    """The value of a body that is JSON which every reader understands in the same way.

    :raises Problem: 400; it is not JSON in UTF-8, has a name twice in an object, a number that is not finite, or more
        than :data:`MAX_DEPTH` levels.
    """
    try:
        # It checks the depth, UTF-8 and surrogates, several times as fast as the reader of Python's library.
        document: object = from_json(body, allow_inf_nan=False)
        names = sum(match.group(1) is not None for match in _STRING.finditer(body))
        if names != _count_names(document) or _LONG_EXPONENT.search(body):
            document = json.loads(body, object_pairs_hook=_check_names, parse_float=_check_finite)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "invalid_json", f"the body is no JSON that can be used: {error}") from None
    return document


def _count_names(document: object) -> int:
    """The names of all objects in a document, of which each object has every one once."""
    if isinstance(document, dict):
        return len(document) + sum(_count_names(value) for value in document.values() if type(value) in _NESTED)
    if isinstance(document, list):
        return sum(_count_names(value) for value in document if type(value) in _NESTED)
    return 0


def too_many_values(limit: int) -> Problem:
    """The answer to a document whose values would take more memory than all documents together may."""
    return Problem(
        413, "too_large", f"the values of the body would take more than {limit:,} bytes of memory; send less"
    )


def msgpack_to_json(body: bytes, max_memory: int) -> bytes:
    """A body of msgpack as JSON. Binary values become texts in base64.

    :param max_memory: bytes that its values may take, roughly.
    :raises Problem: 400; it is no msgpack, or has values that JSON cannot have; 413, it has too many.
    """
    counted = _Counted(max_memory)
    try:
        document = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=counted.read_object,
            list_hook=counted.read_array,
            ext_hook=_refuse_extension,
        )
        return json.dumps(document, allow_nan=False, ensure_ascii=False, default=_text_of).encode()
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise Problem(400, "invalid_msgpack", f"the body is no msgpack that can be used: {reason}") from None


def json_to_msgpack(body: bytes) -> bytes:
    """An answer in JSON as msgpack."""
    packed: bytes = msgpack.packb(json.loads(body))
    return packed


class _Counted:
    """Counts what the values of a document take while they are read."""

    def __init__(self, max_memory: int) -> None:
        self._max_memory = self._left = max_memory

    def read_object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        """An object."""
        self._take(_OBJECT_BYTES + _ENTRY_BYTES * len(pairs))
        return _check_names(pairs)

    def read_array(self, items: list[object]) -> list[object]:
        """An array."""
        self._take(_ARRAY_BYTES + _ENTRY_BYTES * len(items))
        return items

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise too_many_values(self._max_memory)


def _check_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {twice[:100]!r} comes twice in an object")
    return names


def _check_finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:30]} is too large")
    return value


def _text_of(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise ValueError(f"a value of the type {type(value).__name__}")


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"an extension of the type {code}")
