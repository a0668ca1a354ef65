"""Counts the cases that are compared, over all processes of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.cases import COMPARED

#: The name under which the report of a test has the number of its cases.
_PROPERTY = "compared cases"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Give the report of each test the number of its cases."""
    COMPARED.take()
    try:
        return (yield)
    finally:
        item.user_properties.append((_PROPERTY, COMPARED.take()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cases the run compared."""
    counts = {
        outcome: [
            value
            for report in terminalreporter.getreports(outcome)
            if report.when == "call"
            for name, value in report.user_properties
            if name == _PROPERTY
        ]
        for outcome in ("passed", "failed")
    }
    terminalreporter.write_line(
        f"compared {sum(map(sum, counts.values())):,} cases with other libraries; "
        f"{len(counts['failed'])} of {sum(map(len, counts.values())):,} tests found a difference"
    )
