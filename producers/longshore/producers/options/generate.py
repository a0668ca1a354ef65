"""Writes what follows from the fields of the specs: ``python -m longshore.producers.options.generate``.

With ``--check`` it writes nothing, and ends with 1 if a file differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from longshore.producers.options.command_line import render_command_line
from longshore.producers.options.reference import render_reference
from longshore.producers.options.typed_dicts import render_typed_dicts

ROOT = Path(__file__).parents[4]


def generated_files() -> dict[Path, str]:
    """The text of each generated file, by its path below the root of the repository."""
    folder = Path("producers/longshore/producers")
    return {
        folder / "options/keywords.py": render_typed_dicts(),
        folder / "cli/option_table.py": render_command_line(),
        Path("docs/reference/options.md"): render_reference(),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    different = [path for path, text in generated_files().items() if _read(ROOT / path) != text]
    for path in different:
        if "--check" not in arguments:
            (ROOT / path).write_text(generated_files()[path])
        sys.stdout.write(f"{path}\n")
    return 1 if different and "--check" in arguments else 0


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
