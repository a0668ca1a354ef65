"""Every action has a handler, and every job has an action."""

from __future__ import annotations

from longshore.shared.vocabulary import Action, JobKind
from longshore.workers.handlers import HANDLERS


def test_every_action_has_a_handler() -> None:
    assert set(HANDLERS) == set(Action)


def test_every_kind_of_job_has_an_action_of_the_same_name() -> None:
    assert {kind.value for kind in JobKind} <= {action.value for action in Action}
