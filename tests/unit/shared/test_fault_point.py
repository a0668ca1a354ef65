"""Fault points: nothing without a test that arms them, and no source file arms them."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.shared.fault_point import armed, fault_point

ROOT = Path(__file__).parents[3]


def test_a_fault_point_calls_the_hook_only_while_it_is_armed() -> None:
    passed: list[str] = []
    fault_point("before")
    with armed(passed.append):
        fault_point("meanwhile")
    fault_point("after")
    assert passed == ["meanwhile"]


def test_what_the_hook_raises_ends_the_step_and_the_points_are_disarmed_after_it() -> None:
    def end(name: str) -> None:
        raise KeyboardInterrupt(name)

    with pytest.raises(KeyboardInterrupt, match="here"), armed(end):
        fault_point("here")
    fault_point("here")


def test_two_hooks_at_once_are_refused() -> None:
    with armed(lambda name: None), pytest.raises(RuntimeError, match="armed already"), armed(lambda name: None):
        pass


def test_no_source_file_arms_them_and_each_place_has_its_own_name() -> None:
    texts = {
        path: path.read_text()
        for part in ("shared", "broker", "producers", "workers")
        for path in (ROOT / part).rglob("*.py")
    }
    arming = [path.name for path, text in texts.items() if "armed(" in text and path.name != "fault_point.py"]
    assert arming == []
    named = [line.strip() for text in texts.values() for line in text.splitlines() if 'fault_point("' in line]
    assert len(named) > 20
    assert len(named) == len(set(named))
