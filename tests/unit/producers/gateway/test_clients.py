"""The gateway's clients: one for each producer, as many as are in use and some more."""

from __future__ import annotations

import asyncio

from longshore.producers.gateway.clients import Clients
from longshore.shared.settings import Settings

# Nothing connects to these.
SETTINGS = Settings(
    redis_url="redis://127.0.0.1:1/0",
    database_url="postgresql://u@127.0.0.1:1/d",
    store="file:///nowhere",
    producer="g",
)


def test_clients_beyond_those_that_are_kept_are_closed_but_not_while_they_are_used() -> None:
    async def use() -> None:
        clients = Clients(SETTINGS, max_idle=2, keep_s=0.0)
        with clients.using("busy") as busy:
            for number in range(5):
                with clients.using(f"producer-{number}"):
                    pass
            assert len(clients) == 2
            with clients.using("busy") as again:
                assert again is busy
        with clients.using("busy") as again:
            assert again is busy
        await clients.close()
        assert len(clients) == 0

    asyncio.run(use())


def test_a_client_that_was_just_used_is_kept() -> None:
    async def use() -> None:
        clients = Clients(SETTINGS, max_idle=0, keep_s=60.0)
        with clients.using("a") as first:
            pass
        with clients.using("a") as second:
            assert second is first
        await clients.close()

    asyncio.run(use())
