"""Limits of ``tokenizer.json``: how far its steps can lengthen a text, and how long they can take.

A few rules that each replace a letter by many letters turn a short text into gigabytes, so a tokenizer is checked
before the library tokenizers loads it. https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int64]

#: How many times as long, in UTF-8, the rules of a tokenizer may make a text. Rules in use reach 33: a compatibility
#: form of a character, whose spaces are then replaced by a longer mark.
MAX_GROWTH = 100.0
#: The most steps of each kind; real tokenizers have some tens.
_MAX_STEPS = 1000
#: The most characters of a regular expression.
_MAX_PATTERN_LENGTH = 10_000
#: The most bytes that are put before a text.
_MAX_PREFIX_BYTES = 10_000
#: The most tokens that are added to a text.
_MAX_TEMPLATE_TOKENS = 1000
#: The longest word that is split into subwords, in characters. The time grows with its cube.
_MAX_WORD_LENGTH = 1000
#: The most bytes of the added tokens once they are normalised.
_MAX_ADDED_BYTES = 2**28
#: The most units of the character map of SentencePiece; that of NFKC has some 50,000.
_MAX_MAP_UNITS = 2**19
#: Nodes of it that are looked at together.
_NODES = 4096

_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
#: Keys under which a step has other steps.
_INNER = ("normalizers", "pretokenizers", "processors", "decoders")


def tokenizer_fault(tokenizer: Mapping[str, object]) -> str | None:
    """Why a tokenizer is not loaded, and the remedy; ``None`` if it is within the limits.

    :param tokenizer: the content of ``tokenizer.json``.
    """
    try:
        _check(tokenizer)
    except ValueError as error:
        return f"{error}; save the tokenizer without it"
    return None


def text_growth(tokenizer: Mapping[str, object]) -> float:
    """How many times as long its rules can make a text, in bytes of UTF-8, at least 1.

    :raises ValueError: a rule is damaged.
    """
    growth = 1.0
    for part in ("normalizer", "pre_tokenizer"):
        for step in _steps(tokenizer.get(part)):
            growth *= _growth(step)
    return growth


def _check(tokenizer: Mapping[str, object]) -> None:
    prefix = 0
    for part in _PARTS:
        for count, step in enumerate(_steps(tokenizer.get(part))):
            if count == _MAX_STEPS:
                raise ValueError(f"its {part} has more than {_MAX_STEPS} steps")
            _check_pattern(step)
            _check_template(step)
            prefix += _size(step.get("prepend"))
    if prefix > _MAX_PREFIX_BYTES:
        raise ValueError(f"its normalizer puts {prefix} bytes before every text, more than {_MAX_PREFIX_BYTES}")
    growth = text_growth(tokenizer)
    if growth > MAX_GROWTH:
        raise ValueError(
            f"its steps can make a text {growth:.3g} times as long, more than {MAX_GROWTH:g} times: rules replace "
            "what earlier rules put in"
        )
    added = sum(_size(token.get("content")) for token in _objects(tokenizer.get("added_tokens")))
    if added * growth > _MAX_ADDED_BYTES:
        raise ValueError(f"its added tokens can become {added * growth:.3g} bytes, more than {_MAX_ADDED_BYTES}")
    _check_model(tokenizer.get("model"))


def _check_model(model: object) -> None:
    longest = model.get("max_input_chars_per_word") if isinstance(model, dict) else None
    if isinstance(longest, int | float) and longest > _MAX_WORD_LENGTH:
        raise ValueError(
            f"its model has max_input_chars_per_word {min(longest, 1e300):g}, more than {_MAX_WORD_LENGTH}"
        )


def _objects(values: object) -> list[dict[str, object]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _steps(step: object) -> Iterator[dict[str, object]]:
    """A step and all steps inside of it, in the order in which they run."""
    waiting = [step]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, dict):
            continue
        yield current
        for key in _INNER:
            waiting += reversed(_objects(current.get(key)))


def _size(text: object) -> int:
    return len(text.encode("utf-8", "replace")) if isinstance(text, str) else 0


def _growth(step: Mapping[str, object]) -> float:
    if step.get("type") == "Replace":
        return _replace_growth(step.get("pattern"), step.get("content"))
    if step.get("type") == "ByteLevel":
        return 2.0  # a byte becomes a character of up to two
    if step.get("type") == "Precompiled":
        return _map_growth(step.get("precompiled_charsmap"))
    return 1.0


def _replace_growth(pattern: object, content: object) -> float:
    if not isinstance(content, str) or not isinstance(pattern, dict):
        return 1.0
    # A later step can put characters into their longest form. It is counted here, so that every form counts once.
    size = max(_size(content), _size(unicodedata.normalize("NFKD", content)))
    text = pattern.get("String")
    if isinstance(text, str) and text:
        return max(1.0, size / _size(text))
    regex = pattern.get("Regex")
    if isinstance(regex, str) and not _can_be_empty(regex):
        return max(1.0, float(size))
    return 1.0 + size  # put in between any two characters


def _can_be_empty(pattern: str) -> bool:
    """Whether a regular expression may match nothing at all."""
    try:
        return re.compile(pattern).search("") is not None
    except (re.error, OverflowError, RecursionError):  # the syntax of another library
        return True


def _check_pattern(step: Mapping[str, object]) -> None:
    # The time that it takes to match is limited by the library, which then gives up the text.
    pattern = step.get("pattern")
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    if isinstance(regex, str) and len(regex) > _MAX_PATTERN_LENGTH:
        raise ValueError(f"it has a regular expression of {len(regex)} characters, more than {_MAX_PATTERN_LENGTH}")


def _check_template(step: Mapping[str, object]) -> None:
    count = sum(len(value) for key in ("single", "pair") for value in [step.get(key)] if isinstance(value, list))
    special = step.get("special_tokens")
    for token in special.values() if isinstance(special, dict) else ():
        ids = token.get("ids") if isinstance(token, dict) else None
        count += len(ids) if isinstance(ids, list) else 0
    if count > _MAX_TEMPLATE_TOKENS:
        raise ValueError(f"its post_processor adds {count} tokens to a text, more than {_MAX_TEMPLATE_TOKENS}")


def _map_growth(encoded: object) -> float:
    """The growth of a character map of SentencePiece: a double-array trie, and the texts that its values point to.

    https://github.com/google/sentencepiece/blob/master/src/normalizer.cc
    """
    if not isinstance(encoded, str):
        return 1.0
    content = base64.b64decode(encoded, validate=True)
    size = int.from_bytes(content[:4], "little")
    if size % 4 or 4 + size > len(content) or size // 4 > _MAX_MAP_UNITS:
        raise ValueError("its normalizer has a damaged precompiled_charsmap")
    units = np.frombuffer(content[4 : 4 + size], "<u4").astype(np.int64)
    texts = np.frombuffer(content[4 + size :], np.uint8)
    ends = np.append(np.flatnonzero(texts == 0), len(texts))
    growth = 1.0
    for depth, values in enumerate(_trie_values(units), 1):
        starts = values[values < len(texts)]
        sizes = ends[np.searchsorted(ends, starts)] - starts
        growth = max(growth, float(sizes.max(initial=0)) / depth)
    return growth


def _trie_values(units: Integers) -> Iterator[Integers]:
    """The values of all keys of one byte, then of those of two bytes, and so on, of a trie of darts-clone.

    A node that is reached again by a longer key is left out.
    """
    seen = np.zeros(len(units), np.bool_)
    nodes = np.zeros(min(1, len(units)), np.int64)
    while len(nodes):
        found = [_children(units, nodes[start : start + _NODES]) for start in range(0, len(nodes), _NODES)]
        children = np.unique(np.concatenate(found))
        nodes = children[~seen[children]]
        seen[nodes] = True
        leaves = _targets(units, nodes[units[nodes] >> 8 & 1 == 1])
        yield units[leaves[leaves < len(units)]] & 0x7FFFFFFF


def _children(units: Integers, nodes: Integers) -> Integers:
    """The children of some nodes: the label of each is the byte that leads to its position."""
    positions = _targets(units, nodes)[:, None] ^ np.arange(1, 256)
    inside: Integers = np.minimum(positions, len(units) - 1)
    children: Integers = inside[(positions == inside) & (units[inside] & 0x800000FF == np.arange(1, 256))]
    return children


def _targets(units: Integers, nodes: Integers) -> Integers:
    """The position to which each node points."""
    targets: Integers = nodes ^ (units[nodes] >> 10 << ((units[nodes] & 0x200) >> 6))
    return targets
