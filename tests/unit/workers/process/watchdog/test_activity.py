"""Whether a process does anything."""

from __future__ import annotations

import os

from longshore.workers.process.watchdog.activity import Usage, is_busy, read_usage


def test_a_process_that_computes_reads_or_has_ended_children_is_busy() -> None:
    before = Usage(cpu_s=10.0, io_bytes=1_000_000, rss_bytes=0)
    assert not is_busy(before, Usage(10.1, 1_010_000, 0), 45.0)
    assert is_busy(before, Usage(12.0, 1_000_000, 0), 45.0)
    assert is_busy(before, Usage(10.0, 2_000_000, 0), 45.0)
    assert is_busy(before, Usage(5.0, 1_000_000, 0), 45.0)


def test_the_usage_of_this_process_is_read() -> None:
    usage = read_usage(os.getpid())
    assert usage.cpu_s > 0
    assert usage.rss_bytes > 2**20


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert read_usage(2**22 + 1) == Usage(0.0, 0, 0)
