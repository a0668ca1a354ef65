"""What the tests of the routes read of answers."""

from __future__ import annotations

from typing import TypeAlias

import httpx
from pydantic import JsonValue

Document: TypeAlias = dict[str, JsonValue]


def ended(http: httpx.Client, id: str) -> Document:
    """A job when it has ended."""
    while True:
        document: Document = http.get(f"/v1/jobs/{id}", params={"wait": 60}).raise_for_status().json()
        if document["finished_at"] is not None:
            return document


def listed(http: httpx.Client, path: str, **parameters: str | int) -> list[Document]:
    """All pages of a list."""
    found: list[Document] = []
    cursor: dict[str, str] = {}
    while True:
        page = http.get(path, params={**parameters, **cursor}).raise_for_status().json()
        assert page["object"] == "list"
        assert page["has_more"] == (page["next"] is not None)
        found += page["data"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


def field_of(response: httpx.Response, status: int = 422) -> str:
    """The field of an error."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["errors"][0]["field"])
