"""Files that are sent to the gateway: small ones at once, larger ones in parts, of which each is checked.

If the connection is lost, only the part that was on its way is sent again.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import JsonValue

from longshore.producers.http.connection import Form, GatewayConnection
from longshore.shared.errors import DataError, InvalidInput

#: Bytes of a part; what is not longer is sent at once.
PART_BYTES: Final = 16 << 20
#: Seconds for which the gateway may join the parts.
JOIN_S: Final = 600.0


def send_bytes(connection: GatewayConnection, content: bytes, name: str, expires_s: int | None) -> str:
    """Send bytes as a file, and return its id.

    :param name: of the file.
    :param expires_s: seconds after which it expires, from one hour to 30 days; ``None`` for never.
    :raises InvalidInput: the gateway takes no such file.
    :raises ServiceUnavailable: the gateway is away for too long.
    """
    if len(content) <= PART_BYTES:
        fields = {"purpose": "user_data"}
        if expires_s is not None:
            fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(expires_s)}
        return str(connection.upload("/files", Form("file", name, content, fields))["id"])
    return _send_parts(connection, io.BytesIO(content), len(content), name, expires_s)


def send_file(connection: GatewayConnection, path: str | os.PathLike[str], expires_s: int | None) -> str:
    """Send a file of this machine, and return its id. It is never in memory but a part.

    :param expires_s: as for :func:`send_bytes`.
    :raises InvalidInput: the file cannot be read, or the gateway takes no such file.
    :raises DataError: the file changes while it is sent.
    :raises ServiceUnavailable: the gateway is away for too long.
    """
    file = Path(path).expanduser()
    try:
        with file.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if size <= PART_BYTES:
                return send_bytes(connection, source.read(), file.name, expires_s)
            return _send_parts(connection, source, size, file.name, expires_s)
    except OSError as error:
        raise InvalidInput("path", f"cannot read {file}: {error.strerror or error}") from None


def _send_parts(connection: GatewayConnection, source: BinaryIO, size: int, name: str, expires_s: int | None) -> str:
    body: dict[str, JsonValue] = {
        **{"bytes": size, "filename": name, "mime_type": "application/octet-stream", "purpose": "user_data"},
    }
    if expires_s is not None:
        body["expires_after"] = {"anchor": "created_at", "seconds": expires_s}
    upload = f"/uploads/{connection.post('/uploads', body)['id']}"
    whole, parts, sent = hashlib.sha256(), list[JsonValue](), 0
    while content := source.read(PART_BYTES):
        sent += len(content)
        if sent > size:
            break
        whole.update(content)
        form = Form("data", name, content, {"sha256": hashlib.sha256(content).hexdigest()})
        parts.append(connection.upload(f"{upload}/parts", form, is_repeatable=True)["id"])
    if sent != size:
        connection.post(f"{upload}/cancel", is_repeatable=True)  # its parts would count for the quota
        raise DataError(f"{name} changed while it was sent: it had {size:,} bytes, and has not any more; send it again")
    end: dict[str, JsonValue] = {"part_ids": parts, "sha256": whole.hexdigest()}
    completed = connection.post(f"{upload}/complete", end, is_repeatable=True, wait_s=JOIN_S)
    file = completed.get("file")
    if not isinstance(file, dict):
        raise InvalidInput("data", f"the file {name} was deleted while it was completed; send it again")
    return str(file["id"])
