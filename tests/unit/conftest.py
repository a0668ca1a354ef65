"""How the unit tests compute."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread_for_small_networks() -> None:
    """The processes of a test run share the cores: more threads of each only wait for one another."""
    # Not imported here: it takes seconds, and single files do without.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
