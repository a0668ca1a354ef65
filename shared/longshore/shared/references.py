"""References to models: ``digits``, ``digits:3``, ``digits@production``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput

_NAME = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
_MODEL_NAME = re.compile(rf"{_NAME}(?:/{_NAME})*")
_ALIAS = re.compile(_NAME)
_VERSION = re.compile(r"[0-9]{1,10}")
#: The longest model name or alias, in characters.
MAX_NAME_LENGTH = 128


@dataclass(frozen=True)
class ModelReference:
    """A model with a version number or an alias, or with neither, which means the newest version."""

    name: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str, field: str = "model") -> ModelReference:
        """Parse a reference.

        :raises InvalidInput: ``text`` is not a reference; names ``field``.
        """
        name, colon, version = text.partition(":")
        if colon:
            if not (_VERSION.fullmatch(version) and 0 < int(version) < 2**31):
                raise InvalidInput(field, f"{text!r}: write a version number from 1 after the colon, as in digits:3")
            return cls(check_name(name, field), version=int(version))
        name, at, alias = text.partition("@")
        if at:
            return cls(check_name(name, field), alias=check_alias(alias, field))
        return cls(check_name(text, field))

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}:{self.version}"
        return f"{self.name}@{self.alias}" if self.alias else self.name


def check_name(name: str, field: str = "model") -> str:
    """Validate a model name. It becomes part of paths and URLs, so its characters are restricted.

    :raises InvalidInput: ``name`` is not a valid model name; names ``field``.
    """
    if len(name) > MAX_NAME_LENGTH or not _MODEL_NAME.fullmatch(name):
        raise InvalidInput(
            field,
            f"{name!r} is not a model name: lower-case letters and digits, parts joined by one of . _ - /, "
            f"at most {MAX_NAME_LENGTH} characters",
        )
    return name


def check_alias(alias: str, field: str = "alias") -> str:
    """Validate an alias.

    :raises InvalidInput: ``alias`` is not a valid alias; names ``field``.
    """
    if len(alias) > MAX_NAME_LENGTH or not _ALIAS.fullmatch(alias) or alias.isdigit():
        raise InvalidInput(
            field,
            f"{alias!r} is not an alias: lower-case letters and digits, parts joined by one of . _ -, not only digits",
        )
    return alias
