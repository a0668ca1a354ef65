"""How PyTorch computes in these tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def small_networks(one_thread: None) -> None:
    """Every network here has a few numbers."""
