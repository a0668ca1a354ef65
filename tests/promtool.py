"""Prometheus' own tool, which checks metrics and rules."""

from __future__ import annotations

import shutil


def promtool() -> str:
    """The program. Tests fail without it, as without any other service.

    :raises AssertionError: it is not installed.
    """
    program = shutil.which("promtool")
    assert program is not None, "no promtool; install Debian's package prometheus"
    return program
