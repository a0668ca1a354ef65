"""The output of ``longshore jobs why``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.producers.cli.options import Options
from longshore.producers.cli.output import clean, print_json, terminal_width
from longshore.producers.cli.table_layout import display_width, wrapped
from longshore.producers.cli.views.addresses import in_home
from longshore.producers.job_ids import short_ids
from longshore.producers.reporting.activity.why import failure_text

if TYPE_CHECKING:
    from longshore.producers.reporting.activity.why import Why
    from longshore.shared.ledger.ledger import Ledger

_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
#: What further lines of a text begin with.
_INDENT = "  "


def print_why(options: Options, why: Why, ledger: Ledger) -> None:
    """Print why a job is in its state. On a terminal, ids are shortened, and texts continue below their start."""
    if options.as_json:
        print_json(why)
        return
    texts = [f"{why.state}: {why.reason}", *(f"- {each}" for each in (*why.details, *map(failure_text, why.failures)))]
    steps = [(f"{step.purpose}:", in_home(options.home, step.command)) for step in why.next]
    if not sys.stdout.isatty():
        lines = [*texts, *(" ".join(step) for step in steps)]
    else:
        whole = "\n".join([*texts, *(command for _, command in steps)])
        ids = {str(id_): short for id_, short in short_ids(ledger, [*map(UUID, set(_ID.findall(whole)))]).items()}
        lines = [_shortened(line, ids) for line in texts]
        lines = list(_fitted(lines, [(purpose, _shortened(command, ids)) for purpose, command in steps]))
    sys.stdout.writelines(f"{clean(line)}\n" for line in lines)


def _shortened(text: str, ids: dict[str, str]) -> str:
    return _ID.sub(lambda match: ids[match[0]], text)


def _fitted(texts: list[str], steps: list[tuple[str, str]]) -> Iterator[str]:
    """The lines for a terminal. Commands are never broken, so that they can be copied."""
    width = terminal_width()
    for text in texts:
        first, *rest = wrapped(text, width - len(_INDENT), break_words=False)
        yield from (first, *(f"{_INDENT}{line}" for line in rest))
    for purpose, command in steps:
        if display_width(purpose) + 1 + display_width(command) <= width:
            yield f"{purpose} {command}"
        else:
            yield from (purpose, f"{_INDENT}{command}")
