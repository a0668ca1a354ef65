"""The part of a worker's parent that takes messages: when it may, and whether it still does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from celery import Celery, bootsteps
from kombu.asynchronous import Hub
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

#: Seconds between two signs that the event loop runs, and between two checks of it.
TICK_INTERVAL_S, CHECK_INTERVAL_S = 0.5, 1.0
#: A check that comes later than this, in seconds, counts as this late: the process was frozen as a whole.
MAX_STEP_S = 2.0


class Consumption:
    """Takes messages only while a child can run them, and notices if it takes none though there are some.

    :param queues: the queues that the worker takes from.
    :param ready: whether a child can run messages now.
    :param idle: whether the children have nothing to run.
    :param timeout: seconds after which it counts as stuck.
    """

    def __init__(
        self,
        app: Celery,
        queues: Sequence[str],
        ready: Callable[[], bool],
        idle: Callable[[], bool],
        timeout: float,
    ) -> None:
        self._app = app
        self._queues = queues
        self._ready = ready
        self._idle = idle
        self._timeout = timeout
        self._ticks = 0
        #: Whether the consumer is connected, and so its event loop runs.
        self._connected = False
        self._stopped = threading.Event()

    def step(self) -> type[bootsteps.StartStopStep]:
        """The step to add to Celery's consumer."""
        outer = self

        class TakeWhenReady(bootsteps.StartStopStep):  # type: ignore[misc]
            requires = ("celery.worker.consumer.tasks:Tasks",)

            def start(self, c: bootsteps.StartStopStep) -> None:
                qos = c.task_consumer.channel.qos
                can_consume = qos.can_consume
                # kombu asks before each blocking pop.
                qos.can_consume = lambda: outer._ready() and can_consume()

            def stop(self, c: bootsteps.StartStopStep) -> None:
                outer._connected = False

            def register_with_event_loop(self, c: bootsteps.StartStopStep, hub: Hub) -> None:
                outer._connected = True
                hub.call_repeatedly(TICK_INTERVAL_S, outer._tick)  # type: ignore[no-untyped-call]
                # Celery looks when the child closes a pipe, which is a moment before it can be waited for, and then
                # only 5 s later.
                hub.call_repeatedly(TICK_INTERVAL_S, c.pool.maintain_pool)  # type: ignore[no-untyped-call]

        return TakeWhenReady

    def watch(self, on_stuck: Callable[[str], None]) -> None:
        """Watch in a thread.

        :param on_stuck: called with the reason, once, while the children are idle.
        """
        threading.Thread(target=self._watch, args=(on_stuck,), name="consumption", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def _tick(self) -> None:
        self._ticks += 1

    def _watch(self, on_stuck: Callable[[str], None]) -> None:
        silent_s = waiting_s = 0.0
        ticks, last = self._ticks, time.monotonic()
        while not self._stopped.wait(CHECK_INTERVAL_S):
            now = time.monotonic()
            step, last = min(now - last, MAX_STEP_S), now
            idle = self._ready() and self._idle()
            silent_s = silent_s + step if self._connected and self._ticks == ticks else 0.0
            ticks = self._ticks
            waiting_s = waiting_s + step if idle and self._connected else 0.0
            if idle and silent_s > self._timeout:
                on_stuck(f"its event loop did not run for {self._timeout:g} s")
                return
            # An idle worker that takes messages never leaves one waiting for so long, so Redis is asked rarely.
            if waiting_s > self._timeout / 2 and not self._has_messages():
                waiting_s = 0.0
            if waiting_s > self._timeout:
                on_stuck(f"it took no message for {self._timeout:g} s, though messages wait and it has nothing to do")
                return

    def _has_messages(self) -> bool:
        try:
            with self._app.connection_for_write() as connection:
                channel = connection.default_channel
                return any(
                    self._app.amqp.queues[queue](channel).queue_declare().message_count for queue in self._queues
                )
        except (OperationalError, RedisError, OSError):
            return False  # Redis is away: nothing can be taken
