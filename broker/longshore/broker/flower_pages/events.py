"""How Flower hears of the workers: again at once after an outage of Redis, however long it was."""

from __future__ import annotations

import logging
import time
from typing import Final

from celery.events import EventReceiver
from flower.events import Events

from longshore.broker.outages import Outage
from longshore.broker.redis_errors import RedisUnavailable, redis_errors

logger = logging.getLogger("longshore.broker.flower")

#: Seconds between two tries to connect. Flower itself doubles them without a limit: after an outage of an hour, it may
#: show nothing for another hour.
RETRY_INTERVAL_S: Final = 1.0


class WorkerEvents(Events):  # type: ignore[misc]  # the library has no types
    """The thread that takes the events of workers from Redis."""

    def run(self) -> None:
        """Take events until the process ends."""
        outage = Outage("Redis", logger)
        while True:
            try:
                with redis_errors(), self.capp.connection() as connection:
                    receiver = EventReceiver(connection, handlers={"*": self.on_event}, app=self.capp)
                    outage.ended()
                    receiver.capture(limit=None, timeout=None, wakeup=True)
            except RedisUnavailable as error:
                outage.began(str(error))
            except Exception:  # without this thread, all that is shown stands still
                logger.exception("an event could not be read")
            time.sleep(RETRY_INTERVAL_S)
