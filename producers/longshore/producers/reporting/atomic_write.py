"""Writing a file that people asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.shared.errors import InvalidInput


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` that takes its place when all went well: it is written whole, or not at all.

    :raises InvalidInput: it cannot be written.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise InvalidInput("output", f"{path} is no file that could be replaced; name another")
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # As open files are made: mkstemp lets only the owner read.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise InvalidInput("output", f"cannot write {path}: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
