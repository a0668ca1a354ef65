"""JSON answers: one document, or a page of a list."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Generic, Literal, TypeAlias, TypeVar

from fastapi import Query, Response

from longshore.producers.documents.jobs import described
from longshore.producers.documents.json_text import to_json
from longshore.shared.errors import InvalidInput

T = TypeVar("T")

#: Entries of one page of a list, if the caller does not say how many; and at most.
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
Limit: TypeAlias = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Entries of the page.")]
#: Where a page begins.
Cursor: TypeAlias = Annotated[
    str | None, Query(max_length=512, description="`next` of the page before. Default: the first page.")
]
#: What the last entry of a page is found by: its number or name, or several of them.
Key: TypeAlias = tuple[int | str, ...]
JSON: Final = "application/json"


@described
@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """A page of a list."""

    data: Sequence[T]
    has_more: bool
    """Whether there is another page."""
    next: str | None
    """The ``cursor`` of the next page; null after the last one."""
    object: Literal["list"] = "list"


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A document as JSON, as ``--json`` of the command line writes it."""
    return Response(to_json(document).encode(), status, dict(headers or {}), JSON)


def page_of(items: Sequence[T], key: Callable[[T], Key], limit: int, cursor: str | None) -> Page[T]:
    """A page of a list that is sorted by a key.

    :param items: all of the list, or what follows the cursor and is longer than a page.
    :raises InvalidInput: the cursor is none of this list.
    """
    after = None if cursor is None else read_cursor(cursor)
    try:
        left = [item for item in items if after is None or key(item) > after]
    except TypeError:
        raise wrong_cursor() from None
    data, has_more = left[:limit], len(left) > limit
    return Page(data=data, has_more=has_more, next=write_cursor(key(data[-1])) if has_more else None)


def write_cursor(key: Key) -> str:
    """A cursor after an entry."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Key:
    """The key of the entry before.

    :raises InvalidInput: nobody has written such a cursor.
    """
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise wrong_cursor() from None
    if not isinstance(key, list) or not key or not all(type(part) in (int, str) for part in key):
        raise wrong_cursor()
    return tuple(key)


def read_row_cursor(cursor: str | None) -> int | None:
    """The number in the cursor of a list of rows or shards; ``None`` without one.

    :raises InvalidInput: the cursor is none of this list.
    """
    if cursor is None:
        return None
    match read_cursor(cursor):
        case (int(number),) if 0 <= number < 2**63:
            return number
    raise wrong_cursor()


def wrong_cursor() -> InvalidInput:
    """The error of a cursor that nobody has written for this list."""
    return InvalidInput("cursor", "no cursor of this list; use `next` of the page before, and the same filters")
