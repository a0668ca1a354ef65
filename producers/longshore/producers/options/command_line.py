"""Renders the table of the command line's options. It is a module of its own so that a help text needs no pydantic."""

from __future__ import annotations

import textwrap

from longshore.producers.options.table import SPECS, OptionRow, plain_text, rows_of
from longshore.shared.specs.jobs import DataOptions, JobOptions
from longshore.shared.specs.train import TrainSpec

_HEAD = '''"""The options of the commands that submit jobs. Generated from the specs; do not edit.

Edit the field of the spec in ``longshore/shared/specs`` and run ``python -m longshore.producers.options.generate``.
"""

# fmt: off
from __future__ import annotations

from longshore.producers.cli.option_types import FlagRow
'''


def render_command_line() -> str:
    """The module ``longshore.producers.cli.option_table``."""
    shared = {
        "_JOB": rows_of(JobOptions, "train"),
        "_DATA": rows_of(DataOptions, "train"),
        "_TRAINING": rows_of(TrainSpec, "train"),
    }
    blocks = [_HEAD]
    blocks += [f"{name} = (\n{_rows(rows)})\n" for name, rows in shared.items()]
    blocks.append(
        "#: The options of each command, in the order of its help text.\nOPTIONS: dict[str, tuple[FlagRow, ...]] = {\n"
    )
    commands = []
    for kind, specs in SPECS.items():
        if kind == "promote":
            continue
        own = [row for row in rows_of(specs[0], kind) if specs[0] is not TrainSpec]
        own += [row for row in rows_of(JobOptions, kind) if row not in shared["_JOB"]]
        spread = ["*_TRAINING"] * (TrainSpec in specs) + ["*_DATA", "*_JOB"]
        rows = textwrap.indent(_rows(own), "    ")
        commands.append(f'    "{kind}": (\n{rows}' + "".join(f"        {name},\n" for name in spread) + "    ),\n")
    return "\n".join(blocks[:-1]) + "\n" + blocks[-1] + "".join(commands) + "}\n"


def _rows(rows: list[OptionRow]) -> str:
    return "".join(_flag(row) for row in rows)


def _flag(row: OptionRow) -> str:
    text = plain_text(row.description)
    if row.default is not None and row.reader != "flag":
        text += f" Default: {row.default.strip(chr(39))}."
    if row.default is not None and row.reader == "flag":
        text += f" Default: {row.default.lower()}."
    lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False, drop_whitespace=False)
    written = [_quoted(line) for line in lines]
    arguments = [f"        name={_quoted(row.name)},", f"        flag={_quoted(row.flag)},"]
    arguments += [f"        reader={_quoted(row.reader)},", f"        section={_quoted(row.section)},"]
    if len(written) == 1:
        arguments.append(f"        help={written[0]},")
    else:
        arguments += ["        help=(", *(f"            {line}" for line in written), "        ),"]
    if row.choices and row.reader == "choice":
        arguments.append(f"        choices=({', '.join(_quoted(each) for each in row.choices)},),")
    if row.metavar:
        arguments.append(f"        metavar={_quoted(row.metavar)},")
    return "    FlagRow(\n" + "\n".join(arguments) + "\n    ),\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
