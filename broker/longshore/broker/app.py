"""The Celery app: the one place where Celery is configured.

Producers publish with it, workers consume with it, Flower monitors with it. A message is a ticket: it names shards,
and contains neither data nor authority, so losing or duplicating one does no harm.
"""

from __future__ import annotations

import os

from celery import Celery
from kombu import pools

from longshore.broker.inbound.control import remote_control
from longshore.broker.priorities import PRIORITY_STEPS
from longshore.broker.queues import QUEUES
from longshore.broker.redis_address import parse_redis_url
from longshore.broker.transport import AMQP
from longshore.shared import forks
from longshore.shared.settings import Settings

#: Seconds after which Redis delivers an unacknowledged ticket again. A run that takes longer is not disturbed: the
#: duplicate finds its shard claimed. The shortest timeout of all clients applies, so it is set only here.
VISIBILITY_TIMEOUT_S = 3600


def make_app(settings: Settings) -> Celery:
    """Make the Celery app of one cluster. It connects when it is first used.

    :raises InvalidInput: the address of Redis has another form.
    """
    address = parse_redis_url(settings.redis_url)
    app = Celery("longshore", broker=address.broker_url, amqp=AMQP, set_as_current=False)
    app.conf.update(
        broker_use_ssl=address.tls,
        task_default_queue=QUEUES[0],
        # Nothing is ever unpickled.
        task_serializer="msgpack",
        accept_content=["msgpack"],
        event_serializer="json",
        # The ledger stores the results and does the retries.
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        task_track_started=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # The parent answers Flower and SIGTERM while the child computes, and only the child initialises CUDA.
        worker_pool="prefork",
        worker_concurrency=1,
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=120.0,
        worker_send_task_events=True,
        task_send_sent_event=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        # Redis that refuses a command (read-only, full, no rights) is an outage, and no reason to end a worker.
        broker_channel_error_retry=True,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "priority_steps": list(PRIORITY_STEPS),
            "queue_order_strategy": "priority",
            "connect_retries_timeout": 1,
            "interval_start": 0.1,
            "interval_step": 0.2,
            **address.transport_options,
            "remote_control": str(remote_control(os.environ)),
        },
        enable_utc=True,
    )
    return app


def forget_parent(app: Celery) -> None:
    """In a forked child: keep an app of the parent from being used or freed; see :mod:`longshore.shared.forks`.

    Celery takes its connections from pools of the whole process, which it empties only after a fork by
    :mod:`multiprocessing`.
    """
    forks.keep(app)
    for group in (pools.connections, pools.producers):
        forks.keep(dict(group))
        group.clear()
