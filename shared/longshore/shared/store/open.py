"""Opening the folder behind a store's address."""

from __future__ import annotations

from pathlib import Path

from longshore.shared.errors import InvalidInput
from longshore.shared.store.address import is_remote, public
from longshore.shared.store.folder import Folder


def open_folder(url: str) -> Folder:
    """The folder at a path or an fsspec URL. Reads and writes nothing yet.

    :raises InvalidInput: the URL is empty, or its scheme cannot be used here; names ``store``.
    """
    if not url:
        raise InvalidInput("store", "empty; give a folder, or a URL such as s3://bucket/models")
    # Each implementation loads its own packages only when it is needed.
    if not is_remote(url):
        from longshore.shared.store.local import LocalFolder

        path = url.removeprefix("file://").removeprefix("local://")
        return LocalFolder(Path(path).expanduser().absolute())
    from longshore.shared.store.remote import RemoteFolder

    return RemoteFolder(url, public(url))
