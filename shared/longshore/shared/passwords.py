"""Passwords in separate files, as container platforms provide them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from longshore.shared.errors import InvalidInput


def add_password(url: str, file: str, *, url_name: str, file_name: str) -> str:
    """Insert the password from a file into a URL that has none.

    :param url: ``scheme://host...`` or ``scheme://user@host...``.
    :param file: contains only the password; trailing line ends are ignored.
    :param url_name: the name of the URL in errors, which contain neither URL nor password.
    :param file_name: the name of the file setting in errors.
    :raises InvalidInput: the file cannot be read or is empty, or the URL is invalid or already has a password.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise InvalidInput(url_name, f"not a URL; write scheme://user@host:port/..., for {file_name} to complete")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    user, _, host = rest[:end].rpartition("@")
    name, _, password = user.partition(":")
    if password:
        raise InvalidInput(url_name, f"has a password, but {file_name} is set too; give only one of the two")
    return f"{scheme}://{name}:{quote(read_password(file, file_name), safe='')}@{host}{rest[end:]}"


def read_password(file: str, file_name: str) -> str:
    """The password in a file.

    :param file_name: the name of the file setting in errors.
    :raises InvalidInput: the file cannot be read or is empty.
    """
    try:
        password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise InvalidInput(file_name, f"{file}: {error.strerror}; make it readable for this user") from None
    except UnicodeDecodeError:
        raise InvalidInput(file_name, f"{file}: not UTF-8 text; save it as UTF-8") from None
    if not password:
        raise InvalidInput(file_name, f"{file}: empty; write the password into it")
    return password
