"""Values on one line: results in the cells of a table, where long lists are shortened, metrics and versions."""

from __future__ import annotations

import json

from pydantic import JsonValue

from longshore.producers.reporting.human import metrics_line

#: Lists of at most this many values are shown in full.
MAX_VALUES = 6
#: How many values of a longer list are shown.
SHOWN_VALUES = 3


def metrics_text(metrics: object) -> str:
    """Metrics on one line, such as ``accuracy=0.974 loss=0.09``."""
    return metrics_line(metrics)


def version_text(model: str, version: int | None) -> str:
    """A model and a version, such as ``digits:3``."""
    return model if version is None else f"{model}:{version}"


def short_value(value: JsonValue) -> str:
    """A value of a result as text: ``[0.12, -0.5, 0.031, … 384 numbers]`` for an embedding."""
    if value is None or isinstance(value, str):
        return value or ""
    return _short_json(value)


def _short_json(value: JsonValue) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):  # a label, which is written like this wherever people read it
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}: {_short_json(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if not isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    if len(value) <= MAX_VALUES:
        return f"[{', '.join(map(_short_json, value))}]"
    if any(isinstance(item, list | dict) for item in value):
        return f"[{_short_json(value[0])}, … {len(value):,} values]"
    shown = (f"{item:.4g}" if isinstance(item, float) else _short_json(item) for item in value[:SHOWN_VALUES])
    kind = "numbers" if all(isinstance(item, int | float) for item in value) else "values"
    return f"[{', '.join(shown)}, … {len(value):,} {kind}]"
