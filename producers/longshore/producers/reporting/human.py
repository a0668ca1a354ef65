"""Times, durations and sizes as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

#: Seconds below which a duration is shown more exactly.
SHORT_S = 10.0


def time_text(seconds: float | None) -> str:
    """A duration as text, such as ``48s``, ``3m 20s``, ``5h 10m`` or ``2d 4h``; empty if unknown."""
    if seconds is None:
        return ""
    whole = round(seconds)
    for size, major, minor, minor_size in ((86400, "d", "h", 3600), (3600, "h", "m", 60), (60, "m", "s", 1)):
        if whole >= size:
            return f"{whole // size}{major} {whole % size // minor_size}{minor}"
    return f"{whole}s"


def duration_text(seconds: float | None) -> str:
    """Like :func:`time_text`, but more exact below ten seconds: ``40ms``, ``3.2s``."""
    if seconds is None or seconds >= SHORT_S:
        return time_text(seconds)
    return f"{seconds * 1000:.0f}ms" if seconds < 0.9995 else f"{seconds:.1f}s"


def age_text(moment: datetime) -> str:
    """The time since ``moment`` in one unit: ``12s``, ``3m``, ``5h``, ``2d``."""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0.0)
    for suffix, size, limit in (("s", 1, 120), ("m", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < limit:
            return f"{int(seconds // size)}{suffix}"
    return f"{int(seconds // 86400)}d"


def local_time(moment: datetime | None) -> str | None:
    """A time in the local time zone, as in ``2026-11-29 15:10:02 UTC``; ``None`` if there is none."""
    return None if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def time_ago(moment: datetime | None) -> str | None:
    """A past time in the local time zone, and how long ago it was; ``None`` if there is none."""
    return None if moment is None else f"{local_time(moment)} ({age_text(moment)} ago)"


def size_text(size: int) -> str:
    """A size as text, such as ``512 B``, ``3.4 KiB`` or ``1.2 GiB``.

    :param size: in bytes.
    """
    if size < 1024:
        return f"{size} B"
    number = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        number /= 1024
        if number < 1023.95 or unit == "PiB":
            break
    return f"{number:,.1f} {unit}"


def metrics_line(metrics: object, first: str | None = None) -> str:
    """Metrics of an outcome on one line, by name: ``accuracy=0.974 loss=0.09``; empty if there are none.

    :param first: the metric that comes before the others.
    """
    if not isinstance(metrics, Mapping):
        return ""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    names = sorted(numbers, key=lambda name: (name != first, name))
    return " ".join(f"{name}={numbers[name]:.4g}" for name in names)
