"""Messages: what shares one, what people read of it, and that names survive the way."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.broker.tickets import Message, pack_messages, parse_shard_ids
from longshore.shared.ledger.records import Ticket
from longshore.shared.ledger.shards.batching import MAX_BATCH_ROWS, MAX_BATCH_SHARDS

TICKET = Ticket(UUID(int=1), 0, "infer", "cpu", 4, 0, 1, "digits", 3)

TICKETS = st.builds(
    Ticket,
    job_id=st.uuids(),
    shard=st.integers(0, 2**31 - 1),
    action=st.sampled_from(["infer", "infer", "infer", "train", "plan"]),
    queue=st.sampled_from(["cpu", "gpu"]),
    priority=st.sampled_from([4, 9]),
    start=st.integers(0, 10),
    stop=st.integers(10, 600),
    model=st.sampled_from(["digits", "letters"]),
    version=st.sampled_from([None, 1]),
)


def small(count: int, rows: int = 1) -> list[Ticket]:
    return [replace(TICKET, job_id=uuid4(), stop=rows) for _ in range(count)]


@given(st.lists(TICKETS, max_size=200))
def test_no_ticket_is_lost_doubled_or_moved(tickets: list[Ticket]) -> None:
    messages = list(pack_messages(tickets))
    assert [ticket for message in messages for ticket in message.tickets] == tickets
    assert len({message.id for message in messages}) == len(messages)
    for message in messages:
        if len(message.tickets) == 1:
            continue
        assert len(message.tickets) <= MAX_BATCH_SHARDS
        assert sum(ticket.stop - ticket.start for ticket in message.tickets) <= MAX_BATCH_ROWS
        assert len({(each.queue, each.priority, each.model, each.version) for each in message.tickets}) == 1
        assert {each.action for each in message.tickets} == {"infer"}


def test_small_shards_fill_a_message_before_the_next() -> None:
    assert [len(message.tickets) for message in pack_messages(small(600))] == [512, 88]
    assert [len(message.tickets) for message in pack_messages(small(5, rows=400))] == [2, 2, 1]
    assert [len(message.tickets) for message in pack_messages(small(3, rows=MAX_BATCH_ROWS + 1))] == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "value"), [("action", "train"), ("queue", "gpu"), ("priority", 9), ("model", "letters"), ("version", 4)]
)
def test_what_differs_is_not_put_together(name: str, value: str | int) -> None:
    other = replace(TICKET, **{name: value})  # type: ignore[arg-type]
    assert next(pack_messages([TICKET, other, other])).tickets == (TICKET,)


def test_training_and_planning_stand_alone() -> None:
    for action in ("train", "plan"):
        ticket = replace(TICKET, action=action)
        assert [len(message.tickets) for message in pack_messages([ticket, ticket])] == [1, 1]
    assert list(pack_messages([])) == []


@pytest.mark.parametrize(
    ("tickets", "task", "label"),
    [
        ([replace(TICKET, start=4096, stop=8192)], "longshore.infer", f"{TICKET.job_id} digits:3 rows 4096-8192"),
        (small(64), "longshore.infer", "digits:3 64 shards of 64 jobs"),
        ([replace(TICKET, action="train", version=None)], "longshore.train", f"{TICKET.job_id} train digits"),
        ([replace(TICKET, action="plan")], "longshore.plan", f"{TICKET.job_id} plan digits:3"),
    ],
)
def test_a_message_is_named_for_people(tickets: list[Ticket], task: str, label: str) -> None:
    message = Message(tuple(tickets))
    assert (message.task_name, message.label) == (task, label)


@given(st.lists(TICKETS, min_size=1, max_size=5))
def test_names_survive_the_way(tickets: list[Ticket]) -> None:
    sent = msgpack.unpackb(msgpack.packb(Message(tuple(tickets)).shard_ids))
    assert parse_shard_ids(sent) == [(ticket.job_id, ticket.shard) for ticket in tickets]


@pytest.mark.parametrize("names", [[["nobody", 0]], [["0" * 32, "first"]], [["0" * 32]], [["0" * 32, 0, 1]]])
def test_what_is_no_name_is_refused(names: list[list[str | int]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_shard_ids(names)


def test_a_shard_that_was_tried_before_travels_alone() -> None:
    first, again, last = small(2), [replace(ticket, attempt=1) for ticket in small(2)], small(2)
    assert [message.tickets for message in pack_messages([*first, *again, *last])] == [
        tuple(first),
        (again[0],),
        (again[1],),
        tuple(last),
    ]
