"""Renders ``docs/reference/options.md``."""

from __future__ import annotations

import re

from longshore.producers.options.table import SPECS, OptionRow, rows_of
from longshore.shared.specs.jobs import DataOptions, JobOptions
from longshore.shared.specs.train import TrainSpec

_HEAD = """# Options

<!-- Generated from the specs by `python -m longshore.producers.options.generate`; do not edit. -->

Every option is a keyword of the client's method and an option of the command with the same name. A default that
depends on other options or on the data is written in the description.
"""
_TITLES = {
    "train": ("Training", "`client.train`, `longshore train`"),
    "tune": ("Search", "`client.tune`, `longshore tune`"),
    "cross_validate": ("Cross-validation", "`client.cross_validate`, `longshore cross-validate`"),
    "infer": ("Inference", "`client.infer`, `longshore infer`"),
    "generate": ("Generation", "`client.generate`, `longshore generate`"),
    "evaluate": ("Evaluation", "`client.evaluate`, `longshore evaluate`"),
}
_SEE = {
    "train": "See [Training](training.md) for what the options do together.",
    "tune": "All [options of a training](#training) but `devices` and `strategy`, and:",
    "cross_validate": (
        "All [options of a training](#training) but `validation`, `test`, `split`, `alias`,\n"
        "`promote_if`, `devices` and `strategy`, and:"
    ),
    "infer": "See [Run inference](../how-to/inference.md).",
    "generate": (
        "See [Run language models](../how-to/language-models.md). A column of the data with the name of one of the\n"
        "options from `max_tokens` to `prefix` overrides it, row by row."
    ),
    "evaluate": "See [Evaluate, promote and chain](../how-to/evaluation-and-promotion.md).",
}


def render_reference() -> str:
    """The page."""
    parts = [_HEAD]
    for kind, (title, calls) in _TITLES.items():
        own = SPECS[kind][0]
        parts.append(f"## {title}\n\n{calls}. {_SEE[kind]}\n")
        rows = rows_of(own, kind)
        rows += [row for row in rows_of(JobOptions, kind) if row.name == "rows_per_shard"]
        for section in dict.fromkeys(row.section for row in rows):
            if own is TrainSpec:
                parts.append(f"### {section}\n")
            parts.append(_table([row for row in rows if row.section == section or own is not TrainSpec]))
            if own is not TrainSpec:
                break
    parts.append("## Every job\n\nOptions of every kind of job; `format` of every job that reads data.\n")
    parts.append(_table([*rows_of(DataOptions, "train"), *rows_of(JobOptions, "train")]))
    return "\n".join(parts)


def _table(rows: list[OptionRow]) -> str:
    lines = ["| keyword | command line | type | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        meaning = re.sub(r"``([^`]*)``", r"`\1`", row.description)
        default = "" if row.default is None else f"`{row.default}`"
        cells = (f"`{row.name}`", f"`{row.flag}`", f"`{row.keyword}`", default, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
