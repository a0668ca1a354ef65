"""Check of the store."""

from __future__ import annotations

from uuid import uuid4

from longshore.producers.cli.checks.check import Check, Level
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.settings import Settings
from longshore.shared.store.open import open_folder


def check_store(settings: Settings) -> Check:
    """Check the store: write a file, read it and delete it.

    :raises ServiceUnavailable: one of these failed.
    """
    folder = open_folder(settings.store)
    path, content = f"tmp/doctor-{uuid4().hex}", b"longshore doctor"
    folder.write(path, iter([content]))
    try:
        stored = folder.read(path)
    except FileNotFoundError:
        raise ServiceUnavailable(f"store {folder.name}: a file that was just written does not exist") from None
    finally:
        folder.delete(path)
    if stored != content:
        raise ServiceUnavailable(f"store {folder.name}: a file was read with other content than was written")
    return Check("store", Level.OK, f"{folder.name}: readable and writable")
