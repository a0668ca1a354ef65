"""Tables in HTML, which notebooks show in place of ``repr``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from pydantic import JsonValue

#: Columns and labels that the table of a version names, at most.
MAX_NAMES = 10


def html_table(title: str, rows: Mapping[str, object]) -> str:
    """A table with a line for each value that is not ``None``. All text is escaped."""
    lines = [
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
        if value is not None
    ]
    return f"<table><caption>{escape(title)}</caption><tbody>{''.join(lines)}</tbody></table>"


def signature_rows(signature: JsonValue) -> dict[str, str]:
    """What a version reads and predicts, in short."""
    if not isinstance(signature, dict):
        return {}
    features, labels = signature.get("features"), signature.get("labels")
    names = [str(each.get("name")) for each in features if isinstance(each, dict)] if isinstance(features, list) else []
    rows = {"task": str(signature.get("task")), "target": str(signature.get("target")), "features": _some(names)}
    return {**rows, "labels": _some([str(label) for label in labels])} if isinstance(labels, list) else rows


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return f"{', '.join(names[:MAX_NAMES])}{more}"


def numbers_text(metrics: JsonValue) -> str | None:
    """Numbers on one line, such as ``loss 0.09  accuracy 0.974``; ``None`` if there are none."""
    numbers = metrics.items() if isinstance(metrics, dict) else ()
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers if isinstance(value, int | float)) or None
