"""Damages valid files: bytes, lengths, JSON values, header fields and names; the same seed gives the same damage."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from longshore.shared.model_formats.onnx.protobuf import encode, fields

#: The files of an input by their paths. An input of one file has the path ``""``.
Files = Mapping[str, bytes]

_NUMBERS: Sequence[JsonValue] = (
    *(0, 1, -1, 2, 255, 256, 65_535, 2**24, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63)),
    *(10**30, 10**400, 0.5, -0.0, 1e308, 1e-320),
)
_TEXTS: Sequence[str] = (
    *("", " ", "a", "0", "-1", "nan", "inf", "null", "é", "\0", "\n", "\ud800", "\u202e", "ﷺ", "../x", "/etc/passwd"),
    *("file:///etc/passwd", "http://127.0.0.1:9/", "a" * 300, "x" * 70_000, "%s%n", "{}", "[", "__class__", "~", "a/b"),
    *("1e999", "9" * 5000, "models/../../x", "@", "::", "://", "a@b", "\\", "'", '"', "\ufeff", "C:\\x"),
)
_NAMES = ("../evil", "/tmp/evil", "a/../../evil", "..", ".", "", "x" * 300, "a\0b", "\\..\\evil", "é", "a//b")
_SIZES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1)
_MAX_DEPTH = 12


def mutate(rng: random.Random, files: Files, others: Sequence[Files]) -> dict[str, bytes]:
    """An input with some damage, or rarely a valid one.

    :param others: inputs to take parts from.
    """
    damaged = dict(files)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if not damaged:
            break
        name = rng.choice(sorted(damaged))
        if name and rng.random() < 0.05:
            _rename(rng, damaged, name)
        else:
            other = rng.choice(others)
            damaged[name] = _mutate_file(rng, name, damaged[name], other.get(name, damaged[name]))
    return damaged


def _rename(rng: random.Random, files: dict[str, bytes], name: str) -> None:
    content = files.pop(name)
    if rng.random() < 0.7:
        files[rng.choice((*_NAMES, name + "2", name.upper(), name.replace("/", "_"), "x/" + name))] = content


def _mutate_file(rng: random.Random, name: str, content: bytes, other: bytes) -> bytes:
    if rng.random() < 0.6:
        if content[:1] in (b"{", b"[", b'"') and (value := _json(content)) is not None:
            return _written(rng, mutate_json(rng, value))
        if name.endswith(".safetensors") and len(content) > 8:
            return _safetensors(rng, content)
        if name.endswith(".onnx"):
            return mutate_message(rng, content)
    return mutate_bytes(rng, content, other)


def _json(content: bytes) -> JsonValue:
    try:
        value: JsonValue = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value


def _written(rng: random.Random, value: JsonValue) -> bytes:
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.02:
        text = text.replace("null", "NaN").replace("0.5", "-Infinity")
    if rng.random() < 0.02:
        depth = rng.choice((10, 500, 5_000, 100_000))
        text = (
            text.replace("null", "[" * depth + "]" * depth, 1) if "null" in text else "[" * depth + text + "]" * depth
        )
    return text.encode("utf-8", "surrogatepass")


def _safetensors(rng: random.Random, content: bytes) -> bytes:
    end = 8 + int.from_bytes(content[:8], "little")
    value = _json(content[8:end])
    if value is None:
        return mutate_bytes(rng, content, content)
    header = _written(rng, mutate_json(rng, value))
    return len(header).to_bytes(8, "little") + header + content[end:]


def mutate_bytes(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """A file with some bytes changed, and perhaps moved."""
    data = bytearray(content)
    at = rng.randrange(len(data) + 1)
    size = min(rng.choice((1, 2, 4, 8, 16, 64, 1024)), len(data) - at)
    match rng.randrange(12):
        case 0 | 1 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 2 if at < len(data):
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 10, 13, 34, 44, 92, rng.randrange(256)))
        case 3:
            del data[at : at + size]
        case 4:
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 3, 50))
        case 5:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 32)))
        case 6:
            del data[at:]
        case 7 | 8:
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(_SIZES) % 2 ** (8 * width)
            data[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
        case 9:
            start = rng.randrange(len(other) + 1)
            data[at : at + size] = other[start : start + size]
        case 10:
            data[at:at] = rng.choice(_TEXTS).encode("utf-8", "surrogatepass")
        case _:
            to = rng.randrange(len(data) + 1)
            data[to:to] = data[at : at + size]
    return bytes(data)


def mutate_json(rng: random.Random, value: JsonValue, depth: int = 0) -> JsonValue:
    """A document with one value, key or item changed."""
    if depth < _MAX_DEPTH and isinstance(value, dict) and value and rng.random() < 0.9:
        return _mutate_object(rng, value, depth)
    if depth < _MAX_DEPTH and isinstance(value, list) and value and rng.random() < 0.9:
        items = list(value)
        at = rng.randrange(len(items))
        match rng.randrange(8):
            case 0:
                del items[at]
            case 1:
                items.insert(at, items[at])
            case 2:
                items *= rng.choice((2, 40))
            case _:
                items[at] = mutate_json(rng, items[at], depth + 1)
        return items
    if isinstance(value, str) and value and rng.random() < 0.3:
        return mutate_bytes(rng, value.encode("utf-8", "replace"), b"").decode("utf-8", "replace")
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.3:
        return rng.choice((-value, value + 1, value - 1, value * 2, value // 2))
    return _any_json(rng)


def _any_json(rng: random.Random) -> JsonValue:
    kinds: Sequence[JsonValue] = (None, True, False, [], {}, [[]], {"": None}, [None], {"a": {"a": []}})
    return rng.choice((rng.choice(_NUMBERS), rng.choice(_TEXTS), rng.choice(kinds)))


def _mutate_object(rng: random.Random, value: Mapping[str, JsonValue], depth: int) -> JsonValue:
    changed = dict(value)
    key = rng.choice(sorted(changed))
    match rng.randrange(10):
        case 0:
            del changed[key]
        case 1:
            changed[rng.choice((*_TEXTS, *changed))] = changed.pop(key)
        case 2:
            changed[rng.choice(_TEXTS)] = _any_json(rng)
        case 3:
            changed[key] = changed[rng.choice(sorted(changed))]
        case _:
            changed[key] = mutate_json(rng, changed[key], depth + 1)
    return changed


def mutate_message(rng: random.Random, content: bytes, depth: int = 0) -> bytes:
    """A protobuf message with one field, at any depth, changed, and the lengths around it corrected."""
    try:
        parts = [(number, value) for number, value in fields(memoryview(content))]
    except ValueError:
        return mutate_bytes(rng, content, content)
    if not parts:
        return content + encode(rng.randrange(1, 30), rng.randrange(2**32))
    at = rng.randrange(len(parts))
    number, value = parts[at]
    changed: int | bytes
    if isinstance(value, int):
        changed = rng.choice((*_SIZES, value ^ 1, value + 1)) % 2**64
    elif depth < 20 and rng.random() < 0.8:
        changed = mutate_message(rng, bytes(value), depth + 1)
    else:
        changed = mutate_bytes(rng, bytes(value), b"")
    encoded = [encode(each, field if isinstance(field, int) else bytes(field)) for each, field in parts]
    match rng.randrange(8):
        case 0:
            del encoded[at]
        case 1:
            encoded.insert(rng.randrange(len(encoded)), encoded[at])
        case 2:
            encoded[at] = encode(rng.randrange(1, 30), changed)
        case _:
            encoded[at] = encode(number, changed)
    return b"".join(encoded)
