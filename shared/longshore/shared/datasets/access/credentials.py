"""Refuses addresses with credentials in them: the spec of a job, and whoever reads it, would know them."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from longshore.shared.errors import InvalidInput
from longshore.shared.store.address import is_remote, public

#: Parameters of a query that are, or replace, a password.
_SECRET: Final = re.compile(
    r"(^|[-_.])(sig|signature|token|secret|password|passwd|pwd|credential|credentials|auth|apikey|accesskeyid|key)$"
    r"|^x-(amz|goog)-|api[-_]?key|access[-_]?key|access[-_]?token",
    re.IGNORECASE,
)


def check_no_credentials(address: str, field: str) -> None:
    """Check an address that is about to be stored with a job.

    :param field: the argument that it comes from.
    :raises InvalidInput: it contains a password or a signature; names ``field``, and shows neither.
    """
    if not is_remote(address):
        return
    for part in address.split("::"):
        url = urlsplit(part)
        query = [name for name, _ in parse_qsl(url.query, keep_blank_values=True) if _SECRET.search(name)]
        userinfo = unquote(url.netloc.rpartition("@")[0])
        if ":" in userinfo or query:
            what = "a password" if ":" in userinfo else f"the secret parameter {query[0]!r}"
            raise InvalidInput(
                field,
                f"{public(address)}: the URL contains {what}, which would be stored with the job; leave it out, and "
                "give the credentials to the workers and to this program by environment variables of the driver "
                "(AWS_ACCESS_KEY_ID, FSSPEC_SFTP_PASSWORD) or in ~/.config/fsspec",
            )
