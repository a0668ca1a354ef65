"""The lines of the input of a batch: each is one request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from longshore.producers.gateway.openai.requests import Embedding, Endpoint, Generation, read_request
from longshore.producers.gateway.problems import Problem
from longshore.shared.specs.validation import shorten

#: Characters of a ``custom_id``.
MAX_ID_CHARS: Final = 512
#: Characters of an error that are kept.
MAX_MESSAGE_CHARS: Final = 1000
MAX_PARAM_CHARS: Final = 200
_KEYS: Final = ("custom_id", "method", "url", "body")
#: Half of a surrogate pair, which JSON can write and UTF-8 cannot.
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class LineError:
    """Why a line cannot be run. What it has of the line can be stored as JSON in Postgres, and is not long."""

    code: str
    message: str
    param: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", _storable(self.message, MAX_MESSAGE_CHARS))
        if self.param is not None:
            object.__setattr__(self, "param", _storable(self.param, MAX_PARAM_CHARS))


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be run."""

    #: From 1.
    number: int
    #: ``None`` if it cannot be read.
    custom_id: str | None
    error: LineError


@dataclass(frozen=True)
class Line:
    """A line that can be run."""

    number: int
    custom_id: str
    body: JsonValue
    request: Generation | Embedding

    @property
    def rows(self) -> int:
        """The rows that it has in its job."""
        return rows_of(self.request)


def rows_of(request: Generation | Embedding) -> int:
    """The rows that a request has in its job."""
    return len(request.texts) if isinstance(request, Embedding) else len(request.rows)


def split_lines(blocks: Iterator[bytes], max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a text with their numbers, from 1, without those that are empty.

    :param max_bytes: longer lines are ``None``; no more of them is held in memory.
    """
    number, pending, is_long = 1, bytearray(), False
    for block in blocks:
        *ended, rest = block.split(b"\n")
        for part in ended:
            line = None if is_long or len(pending) + len(part) > max_bytes else bytes(pending) + part
            if line is None or line.strip():
                yield number, line
            number, is_long = number + 1, False
            pending.clear()
        is_long = is_long or len(pending) + len(rest) > max_bytes
        if is_long:
            pending.clear()
        else:
            pending += rest
    if is_long or pending.strip():
        yield number, None if is_long else bytes(pending)


class LineReader:
    """Reads the lines of one file.

    :param check: called with each request; the error of its model, if it cannot run it.
    :param max_bytes: of a line.
    """

    def __init__(
        self, endpoint: Endpoint, check: Callable[[Generation | Embedding], LineError | None], max_bytes: int
    ) -> None:
        self._endpoint = endpoint
        self._check = check
        self._max_bytes = max_bytes
        self._ids: set[str] = set()

    def read(self, number: int, text: bytes | None) -> Line | BadLine:
        """A line, as :func:`split_lines` returns it."""
        if text is None:
            return BadLine(number, None, LineError("line_too_long", f"more than {self._max_bytes:,} bytes"))
        try:
            document = json.loads(text.removeprefix(_BOM), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            return BadLine(number, None, LineError("invalid_json_line", f"this line is no JSON: {error}"))
        if not isinstance(document, dict):
            return BadLine(number, None, LineError("invalid_json_line", "this line is no JSON object"))
        custom_id = document.get("custom_id")
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_ID_CHARS or _SURROGATE.search(custom_id):
            return BadLine(number, None, _wrong_id(custom_id))
        if custom_id in self._ids:
            message = f"{shorten(custom_id)} stands in an earlier line, too"
            return BadLine(number, custom_id, LineError("duplicate_custom_id", message, "custom_id"))
        self._ids.add(custom_id)
        wrong = self._wrong_key(document)
        if wrong is not None:
            return BadLine(number, custom_id, wrong)
        request = self._request(document["body"])
        if isinstance(request, LineError):
            return BadLine(number, custom_id, request)
        return Line(number, custom_id, document["body"], request)

    def _wrong_key(self, document: dict[str, JsonValue]) -> LineError | None:
        for key in document:
            if key not in _KEYS:
                return LineError(
                    "unknown_parameter", f"{shorten(key)} is no key of a line; write {', '.join(_KEYS)}", key[:80]
                )
        if document.get("method") != "POST":
            return LineError("invalid_method", 'method: write "POST"', "method")
        if document.get("url") != self._endpoint:
            found = shorten(document.get("url"))
            return LineError("invalid_url", f"url: {found} is not the endpoint of the batch, {self._endpoint}", "url")
        if not isinstance(document.get("body"), dict):
            return LineError("invalid_body", "body: write an object, as the endpoint takes it", "body")
        return None

    def _request(self, body: JsonValue) -> Generation | Embedding | LineError:
        try:
            request = read_request(self._endpoint, body)
        except Problem as problem:
            param = problem.errors[0][0] if problem.errors else None
            return LineError(problem.code, str(problem), None if param is None else f"body.{param}")
        if isinstance(body, dict) and body.get("stream"):
            return LineError("unsupported_parameter", "stream: a batch has no stream; leave it out", "body.stream")
        return self._check(request) or request


def _wrong_id(custom_id: JsonValue) -> LineError:
    if custom_id is None:
        return LineError("missing_required_parameter", "custom_id: required, but missing", "custom_id")
    return LineError("invalid_custom_id", f"custom_id: write a text of 1 to {MAX_ID_CHARS} characters", "custom_id")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not in JSON")


def _storable(text: str, max_chars: int) -> str:
    """A text without what UTF-8 and Postgres cannot write."""
    return text[:max_chars].replace("\0", "?").encode(errors="replace").decode()
