"""Listening to texts, one caller after another."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from longshore.broker import redis_address
from longshore.broker.gateway.text_deltas import CHANNEL
from longshore.broker.redis_address import parse_redis_url
from longshore.producers.gateway import text_channels
from longshore.producers.gateway.text_channels import TextChannels
from longshore.shared.settings import Settings
from tests.waiting import TIMEOUT_S, wait_until


def test_callers_who_come_after_a_pause_are_heard(services: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # The time after which a connection that is not used is asked whether it is alive: it is always over.
    monkeypatch.setattr(text_channels, "SUBSCRIBE_TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(redis_address, "HEALTH_CHECK_INTERVAL_S", 0.001)
    address = parse_redis_url(services.redis_url)

    async def listen() -> list[bool]:
        channels, heard = TextChannels(address), []
        with address.client() as redis:

            def is_quiet() -> bool:
                return not any(uuid in each.decode() for each in redis.pubsub_channels(f"*{CHANNEL}*"))

            try:
                for _ in range(4):
                    job = uuid4()
                    uuid = str(job)
                    async with channels.listening(job, asyncio.Event()) as inbox:
                        heard.append(inbox.confirmed.is_set())
                    await asyncio.to_thread(wait_until, is_quiet)
            finally:
                await channels.close()
        return heard

    assert asyncio.run(listen()) == [True] * 4
