"""The states of tasks that Flower shows."""

from __future__ import annotations

import pytest

from longshore.broker.flower_pages.states import WORDS, TaskStates, true_end
from longshore.workers.execution import ENDS
from longshore.workers.process.monitoring.cells import Count

WORKER = "cpu:0@here"


def reported(states: TaskStates, type: str, clock: int, **fields: object) -> str:
    states.event(
        {"type": type, "uuid": "t", "hostname": WORKER, "timestamp": float(clock), "local_received": float(clock)}
        | {"clock": clock, "pid": 1, "utcoffset": 0, **fields}
    )
    (found,) = states.search_engine.search(states.tasks, f"state:{states.tasks['t'].state}").task_ids
    assert found == "t"
    return str(states.tasks["t"].state)


@pytest.mark.parametrize(
    ("result", "state"),
    [
        ("1 shard for failed, of 01", "SUCCESS"),
        ("3 shards (1 failed, 2 stopped) for tests, of 01 02 03", "FAILURE"),
        ("2 shards (1 put off, 1 stopped) for tests, of 01 02", "REVOKED"),
        ("1 shard (1 put off) for tests (1 failed), of 01", "RETRY"),
        ("1 shard (1 handed back) for tests, of 01", "RETRY"),
        ("handed back: the worker stops", "RETRY"),
        ("nothing to run: ended, or taken by another worker", "SKIPPED"),
    ],
)
def test_the_end_of_a_task_is_that_of_its_shards(result: str, state: str) -> None:
    states = TaskStates()
    assert reported(states, "task-received", 1, name="run", args="line") == "RECEIVED"
    assert reported(states, "task-started", 2) == "STARTED"
    assert reported(states, "task-progress", 3, result="1 of 2 rows") == "STARTED"
    assert states.tasks["t"].result == "1 of 2 rows"
    assert reported(states, "task-succeeded", 4, result=f"'{result}'", runtime=0.5) == state
    assert (states.tasks["t"].result, states.tasks["t"].runtime) == (result, 0.5)
    # News of the progress that comes late changes nothing.
    assert reported(states, "task-progress", 5, result="2 of 2 rows") == state
    assert state in WORDS


def test_each_end_that_a_worker_names_is_known() -> None:
    for count, word in ENDS.items():
        assert isinstance(count, Count)
        assert true_end({"type": "task-succeeded", "result": f"1 shard (1 {word}) for a"})["type"] != "task-succeeded"
