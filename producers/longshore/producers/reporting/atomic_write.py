"""Writing a file atomically."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.shared.errors import InvalidInput


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary file that replaces ``path`` on success, so that ``path`` is written completely or not at all.

    :raises InvalidInput: the file cannot be written.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise InvalidInput("output", f"{path} is not a regular file, so it cannot be replaced; choose another path")
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # The permissions that open() would give; mkstemp lets only the owner read.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise InvalidInput("output", f"cannot write {path}: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
