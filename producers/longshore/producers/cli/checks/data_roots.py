"""The check of what jobs may read and write."""

from __future__ import annotations

import os

from longshore.producers.cli.checks.check import Check, Level
from longshore.shared.datasets.access.roots import DATA_ROOTS, DataRoots
from longshore.shared.settings import Settings


def check_data_roots(settings: Settings) -> Check:
    """Check that workers that run as root have roots.

    :raises InvalidInput: the setting is malformed.
    """
    roots = DataRoots.load()
    if roots.folders is not None:
        return Check("data", Level.OK, ", ".join([*roots.folders, *(roots.urls or ())]))
    if os.geteuid() == 0:
        return Check(
            "data",
            Level.WARN,
            "workers that run as root open every file that a job names, except in system folders; set "
            f"{DATA_ROOTS}, or run them as another user",
        )
    return Check("data", Level.OK, f"jobs may use what this user may use; {DATA_ROOTS} is not set")
