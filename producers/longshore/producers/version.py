"""The version of Longshore that is installed, determined without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _read() -> str:
    try:
        return version("longshore")
    except PackageNotFoundError:
        return "unknown"


#: Such as ``0.1.0``; ``unknown`` if Longshore runs from sources that are not installed.
__version__: Final = _read()
