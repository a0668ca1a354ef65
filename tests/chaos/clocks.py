"""A clock that can be set, for processes that are started with it, by libfaketime (Debian's ``faketime``).

Only the time of day is changed, as by an administrator or a time server: what passes on the monotonic clock goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

#: Where Debian puts the library, by architecture.
_LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime")


class Clock:
    """The time of day of some processes.

    :param file: where they look for it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._set(0.0)

    def environment(self) -> Mapping[str, str]:
        """The variables for processes that go by this clock; none if clocks cannot be set here."""
        library = faketime()
        if library is None:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            "NO_FAKE_STAT": "1",
        }

    @contextmanager
    def stepped(self, seconds: float) -> Iterator[None]:
        """The clock jumps ahead, or back if ``seconds`` is negative, and at the end to the right time again."""
        self._set(seconds)
        try:
            yield
        finally:
            self._set(0.0)

    def _set(self, seconds: float) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        new.rename(self._file)


@cache
def faketime() -> Path | None:
    """The library, if it is installed."""
    found = (Path(folder) / "libfaketimeMT.so.1" for folder in _LIBRARIES)
    return next((each for each in found if each.exists()), None)
