"""The versions of installed packages, determined without importing them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """The version of Longshore; ``unknown`` if it runs from sources that are not installed."""
    return installed("longshore") or "unknown"


def installed(package: str) -> str | None:
    """The version of a package; ``None`` if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
