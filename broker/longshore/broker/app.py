"""The Celery app: the one place where Celery is configured.

Producers publish with it, workers consume with it, Flower watches with it. A message is a ticket: it names shards,
and carries neither data nor authority, so losing or doubling one does no harm.
"""

from __future__ import annotations

from celery import Celery

from longshore.broker.priorities import STEPS
from longshore.broker.transport import AMQP
from longshore.shared.settings import Settings

#: The queues, by class of device.
QUEUES = ("cpu", "gpu")
#: Seconds after which Redis hands an unanswered ticket to another worker. A run that takes longer is not disturbed:
#: the doubled ticket finds its shard claimed. The shortest of all clients wins, so it stands here, once.
VISIBILITY_TIMEOUT = 3600
#: Seconds for a connection to Redis. A producer tells its caller that the job is safe when this has passed: it must not
#: be long.
CONNECTING = 2


def make_app(settings: Settings) -> Celery:
    """A Celery app for one cluster. Connects to nothing until it is used."""
    app = Celery("longshore", broker=settings.redis_url, amqp=AMQP, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUES[0],
        # Nothing is ever unpickled.
        task_serializer="msgpack",
        accept_content=["msgpack"],
        event_serializer="json",
        # The ledger holds the results and does the retries.
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
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "priority_steps": list(STEPS),
            "queue_order_strategy": "priority",
            "socket_connect_timeout": CONNECTING,
            "connect_retries_timeout": 1,
            "interval_start": 0.1,
            "interval_step": 0.2,
            "health_check_interval": 30,
        },
        enable_utc=True,
    )
    return app
