"""Folders for homes: run by root, Postgres and Redis are another user's, who must be able to reach them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.broker import embedded


def make_reachable_folder() -> Path:
    """A new folder that every user can pass through. It is not in TMPDIR, which need not be so."""
    folder = Path(tempfile.mkdtemp(prefix="longshore-test-", dir="/tmp"))
    folder.chmod(0o711)
    return folder


@contextmanager
def folder_for_homes() -> Iterator[Path]:
    """A folder whose homes are stopped at the end, whatever happened, and which is then removed."""
    folder = make_reachable_folder()
    try:
        yield folder
    finally:
        for home in folder.glob("*/run"):
            embedded.down(home.parent)
        shutil.rmtree(folder)
