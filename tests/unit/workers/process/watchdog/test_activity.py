"""Whether a process does anything."""

from __future__ import annotations

import os

from longshore.workers.process.watchdog.activity import Activity, Usage, activity, read_usage


def test_what_a_process_did_between_two_readings() -> None:
    before = Usage(cpu_s=10.0, io_bytes=1_000_000, rss_bytes=0)
    assert activity(before, Usage(10.1, 1_010_000, 0), 45.0) is Activity.NOTHING
    assert activity(before, Usage(12.0, 1_000_000, 0), 45.0) is Activity.COMPUTING
    assert activity(before, Usage(12.0, 2_000_000, 0), 45.0) is Activity.READING_OR_WRITING
    # A descendant has ended, and what it did is not known.
    assert activity(before, Usage(5.0, 1_000_000, 0), 45.0) is Activity.READING_OR_WRITING


def test_the_usage_of_this_process_is_read() -> None:
    usage = read_usage(os.getpid())
    assert usage.cpu_s > 0
    assert usage.rss_bytes > 2**20


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert read_usage(2**22 + 1) == Usage(0.0, 0, 0)
