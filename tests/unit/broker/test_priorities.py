"""Our 9 is the broker's first."""

from __future__ import annotations

from longshore.broker.app import make_app
from longshore.broker.priorities import PRIORITY_STEPS, to_broker
from longshore.shared.settings import Settings

SETTINGS = Settings(redis_url="redis://:secret@localhost:1/0", database_url="", store="", producer="tests")


def test_priorities_are_turned_round_and_none_share_a_list() -> None:
    assert [to_broker(priority) for priority in range(10)] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert set(map(to_broker, range(10))) == set(PRIORITY_STEPS)


def test_the_app_is_told_of_every_step_and_unpickles_nothing() -> None:
    app = make_app(SETTINGS)
    assert app.conf.broker_transport_options["priority_steps"] == list(PRIORITY_STEPS)
    assert app.conf.accept_content == ["msgpack"]
    assert app.conf.task_serializer == "msgpack"
    assert app.conf.worker_pool_start_method == "spawn"
    assert "secret" not in repr(app)
