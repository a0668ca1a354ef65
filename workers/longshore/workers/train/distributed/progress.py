"""How far a training in several processes is, from rank 0 to the worker's child, which tells monitors."""

from __future__ import annotations

from pathlib import Path

_FILE = "progress"


def write_progress(epochs: int, folder: Path) -> None:
    """Say that so many epochs are done."""
    # Renamed, so that whoever reads it reads all of it.
    path = folder / _FILE
    path.with_suffix(".part").write_text(str(epochs))
    path.with_suffix(".part").rename(path)


def read_progress(folder: Path) -> int:
    """The epochs that are done; 0 where nothing was said yet."""
    path = folder / _FILE
    return int(path.read_text()) if path.exists() else 0
