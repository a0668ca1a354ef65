"""Whether processes do anything: compute, read or write."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import psutil

#: A process tree that takes less of one core computes nothing: the threads that renew leases take less than 1 %.
MIN_CPU_SHARE = 0.02
#: A process tree that reads and writes fewer bytes per second neither loads nor saves anything.
MIN_BYTES_PER_S = 4096


@dataclass(frozen=True)
class Usage:
    """What a process and its descendants have used since they started."""

    cpu_s: float
    io_bytes: int
    #: The memory that they take now.
    rss_bytes: int


def read_usage(pid: int) -> Usage:
    """The usage of a process tree; what has ended or cannot be read counts as nothing."""
    cpu, transferred, rss = 0.0, 0, 0
    for process in _tree(pid):
        try:
            with process.oneshot():
                times = process.cpu_times()
                cpu += times.user + times.system
                rss += process.memory_info().rss
                if hasattr(process, "io_counters"):
                    counters = process.io_counters()
                    # With the bytes that the page cache holds, on Linux.
                    transferred += getattr(counters, "read_chars", counters.read_bytes)
                    transferred += getattr(counters, "write_chars", counters.write_bytes)
        except (psutil.Error, OSError):
            continue
    return Usage(cpu, transferred, rss)


class Activity(Enum):
    """What a process tree did between two readings."""

    NOTHING = "nothing"
    #: It computed, and neither read nor wrote.
    COMPUTING = "computing"
    READING_OR_WRITING = "reading or writing"


def activity(before: Usage, after: Usage, seconds: float) -> Activity:
    """What was done between two readings, ``seconds`` apart."""
    ended = after.cpu_s < before.cpu_s or after.io_bytes < before.io_bytes  # a descendant has, with what it did
    if ended or after.io_bytes - before.io_bytes > MIN_BYTES_PER_S * seconds:
        return Activity.READING_OR_WRITING
    return Activity.COMPUTING if after.cpu_s - before.cpu_s > MIN_CPU_SHARE * seconds else Activity.NOTHING


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
