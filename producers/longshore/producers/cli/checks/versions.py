"""Which releases are installed, found without importing them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Of Longshore; ``unknown`` where it runs from its sources without having been installed."""
    return installed("longshore") or "unknown"


def installed(package: str) -> str | None:
    """The release of a package; ``None`` where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
