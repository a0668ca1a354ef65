"""The vocabulary of jobs and shards."""

from __future__ import annotations

from longshore.shared.vocabulary import Action, JobKind


def test_every_kind_of_job_has_an_action_of_the_same_name() -> None:
    assert {kind.value for kind in JobKind} <= {action.value for action in Action}
