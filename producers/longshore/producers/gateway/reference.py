"""Writes the page of the routes from the OpenAPI document: ``python -m longshore.producers.gateway.reference``.

With ``--check`` it writes nothing, and ends with 1 if the page differs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from longshore.producers.gateway.app import make_app
from longshore.producers.gateway.serving.admission import Admission
from longshore.producers.gateway.settings import GatewaySettings
from longshore.shared.settings import Settings

PAGE: Final = Path("docs/reference/http-api.md")
ROOT: Final = Path(__file__).parents[4]
#: Titles of the sections, by tag; other tags come after them.
TITLES: Final = {
    "jobs": "Jobs",
    "results": "Results",
    "predictions": "Predictions",
    "models": "Models",
    "openai": "OpenAI",
    "files": "Files",
    "batches": "Batches",
    "webhooks": "Webhooks",
    "cluster": "Cluster",
    "health": "Health",
}
_HEAD: Final = """\
# HTTP API

<!-- Generated from the routes; do not edit. Run `python -m longshore.producers.gateway.reference`. -->

The routes of [the gateway](../how-to/http.md). `/openapi.json` has the bodies, the parameters and the answers of each,
with examples. Errors are problem details (RFC 9457): `status`, `code`, `detail`, and for each wrong field its path in
`errors`. Lists are pages of at most 1,000 entries, unless a route says otherwise.
"""


class _Operation(BaseModel):
    tags: list[str]
    description: str = ""
    security: list[dict[str, list[str]]] = []


class _Document(BaseModel):
    paths: Mapping[str, Mapping[str, _Operation]]


def render_routes() -> str:
    """The page."""
    options = GatewaySettings()
    # No address is used: nothing is opened before the application starts.
    settings = Settings(redis_url="redis://", database_url="postgresql://", store="/", producer="reference")
    document = _Document.model_validate(make_app(settings, options, Admission(options)).openapi())
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for path, operations in document.paths.items():
        for method, operation in operations.items():
            rows[operation.tags[0]].append(_row(method, path, operation))
    return "\n".join([_HEAD, *_sections(rows)])


def _sections(rows: Mapping[str, list[str]]) -> Iterator[str]:
    for tag in sorted(rows, key=lambda tag: (list(TITLES).index(tag) if tag in TITLES else len(TITLES), tag)):
        yield f"## {TITLES.get(tag, tag.capitalize())}\n"
        yield from ("| route | scopes | what it does |", "| --- | --- | --- |", *rows[tag], "")


def _row(method: str, path: str, operation: _Operation) -> str:
    scopes = ", ".join(f"`{scope}`" for each in operation.security for names in each.values() for scope in names)
    # The first sentence of the docstring.
    text = " ".join(operation.description.split("\n\n")[0].split())
    return f"| `{method.upper()} {path}` | {scopes} | {text} |"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    path, text = ROOT / PAGE, render_routes()
    if path.exists() and path.read_text() == text:
        return 0
    sys.stdout.write(f"{PAGE}\n")
    if "--check" not in arguments:
        path.write_text(text)
    return 1 if "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
