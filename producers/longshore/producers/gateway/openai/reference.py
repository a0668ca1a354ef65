"""Writes the reference page of OpenAI's parameters: ``python -m longshore.producers.gateway.openai.reference``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from longshore.producers.gateway.openai.bodies import ChatBody, CompletionBody, EmbeddingBody
from longshore.producers.gateway.openai.parameters import Only
from longshore.producers.gateway.openai.requests import Endpoint
from longshore.producers.gateway.openai.response_bodies import ResponseBody

#: Below the root of the repository.
PAGE: Final = Path("docs/reference/openai-parameters.md")
_BODIES: Final[Mapping[Endpoint, type[BaseModel]]] = {
    Endpoint.CHAT: ChatBody,
    Endpoint.COMPLETIONS: CompletionBody,
    Endpoint.RESPONSES: ResponseBody,
    Endpoint.EMBEDDINGS: EmbeddingBody,
}
_HEAD: Final = """\
# Parameters of OpenAI's API

These are the parameters that the [gateway](../how-to/http.md#openais-api) knows, at its endpoints and in the lines of
batches. All others are refused by their name. Types are exact: a text is no number. Null is as if the parameter were
not there.
"""


def render() -> str:
    """The page."""
    return "\n".join([_HEAD, *(line for endpoint, body in _BODIES.items() for line in _section(endpoint, body))])


def _section(endpoint: Endpoint, body: type[BaseModel]) -> Iterator[str]:
    yield f"## {endpoint.value}\n"
    yield from ("| parameter | meaning |", "| --- | --- |")
    fields = body.model_fields.items()
    # Those that must be given come first.
    for name, field in sorted(fields, key=lambda item: not item[1].is_required()):
        if field.description is not None:
            required = " Required." if field.is_required() else ""
            yield f"| `{name}` | {' '.join(field.description.split())}{required} |"
    yield ""
    only = [(name, each) for name, field in fields for each in field.metadata if isinstance(each, Only)]
    if not only:
        return
    yield "These take no other value than those of the second column:\n"
    yield from ("| parameter | values | why no others |", "| --- | --- | --- |")
    for name, each in only:
        values = ", ".join(f"`{json.dumps(value)}`" for value in (None, *each.values))
        yield f"| `{name}` | {values} | {each.reason} |"
    yield ""


if __name__ == "__main__":
    (Path(__file__).parents[5] / PAGE).write_text(render())
