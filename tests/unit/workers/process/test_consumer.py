"""How long a worker waits for Redis: as short after an hour as in the first minute."""

from __future__ import annotations

import kombu.utils.functional
import pytest

from longshore.broker.app import make_app
from longshore.broker.embedded.services.ports import any_free_port
from longshore.broker.transport import Transport
from longshore.shared.settings import Settings
from longshore.workers.process.consumer import RETRY_INTERVAL_S, TicketConsumer

PAUSES = 200


class _Enough(Exception):
    pass


def test_the_pauses_of_a_long_outage_do_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    tries = 0
    connect = Transport.establish_connection

    def counted(transport: Transport) -> object:
        nonlocal tries
        tries += 1
        return connect(transport)  # type: ignore[no-untyped-call]

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == PAUSES:
            raise _Enough

    monkeypatch.setattr(Transport, "establish_connection", counted)
    monkeypatch.setattr(kombu.utils.functional, "sleep", sleep)
    url = f"redis://127.0.0.1:{any_free_port()}"
    app = make_app(Settings(redis_url=url, database_url="", store="", producer="tests"))
    worker = app.WorkController(pool_cls="solo", concurrency=1, consumer_cls=TicketConsumer)
    with app.connection_for_read() as connection, pytest.raises(_Enough):
        worker.consumer.ensure_connected(connection)
    assert sum(pauses) <= tries * RETRY_INTERVAL_S
    app.close()
