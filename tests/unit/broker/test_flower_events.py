"""How long Flower waits for Redis: as short after an hour as in the first minute."""

from __future__ import annotations

import time

import pytest
from tornado.ioloop import IOLoop

from longshore.broker.app import make_app
from longshore.broker.embedded.services.ports import any_free_port
from longshore.broker.flower_pages.events import RETRY_INTERVAL_S, WorkerEvents
from longshore.shared.settings import Settings


class _Enough(BaseException):
    pass


def test_the_pauses_of_a_long_outage_do_not_grow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise _Enough

    url = f"redis://:secret@127.0.0.1:{any_free_port()}"
    app = make_app(Settings(redis_url=url, database_url="", store="", producer="tests"))
    loop = IOLoop(make_current=False)
    events = WorkerEvents(app, loop, enable_events=False, max_tasks_in_memory=10)
    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(_Enough):
        events.run()
    monkeypatch.undo()
    loop.close()
    app.close()
    assert max(pauses) <= RETRY_INTERVAL_S
    # One line for all tries, and no password in it.
    assert [record.message for record in caplog.records] == [
        "Redis cannot be reached: ConnectionRefusedError; trying again"
    ]
