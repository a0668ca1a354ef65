"""``longshore producers``: limits on the jobs of producers."""

from __future__ import annotations

from longshore.shared.settings import Settings
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.support import empty_tables


def test_a_limit_is_set_listed_and_removed(services: Settings) -> None:
    empty_tables(services.database_url)
    longshore = CommandLine({**without_settings(), **services.environment()})
    limited = longshore("producers", "limit", "nightly", "--jobs", "1000")
    assert (limited.out, limited.err) == ("nightly: at most 1,000 jobs that have not ended\n", "")
    assert longshore("producers", "limit", "*", "--jobs", "7", "--json").document == {"producer": "*", "max_jobs": 7}
    assert longshore("producers", "limits", "--json").document == [
        {"producer": "*", "max_jobs": 7, "jobs": 0},
        {"producer": "nightly", "max_jobs": 1000, "jobs": 0},
    ]
    assert [line.split() for line in longshore("producers", "limits").out.splitlines()] == [
        ["producer", "limit", "jobs"],
        ["*", "7"],
        ["nightly", "1,000", "0"],
    ]
    for arguments in (["x"], ["x", "--jobs", "1", "--none"], ["x", "--jobs", "-1"], ["", "--none"]):
        assert longshore("producers", "limit", *arguments).code == 2
    assert longshore("producers").code == 2
    for name in ("nightly", "*"):
        assert longshore("producers", "limit", name, "--none").out == f"{name}: no limit\n"
    assert longshore("producers", "limits", "--json").document == []
