"""Damaged inputs of every reader, importer and parser are read or refused with an error of Longshore.

Each input runs with limits of memory and time, in a folder of its own. ``make fuzz`` runs more of them.
"""

from __future__ import annotations

import pytest

from tests.fuzz.running import input_count, run
from tests.fuzz.targets import GROUPS


@pytest.mark.parametrize("group", GROUPS)
def test_no_input_escapes(group: str) -> None:
    findings = list(run([(target, 0, input_count(target.usual)) for target in GROUPS[group]]))
    assert not findings, "\n".join(map(str, findings[:20]))
