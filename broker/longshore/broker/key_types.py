"""The keys of the queues in Redis and their types.

Whoever can write to Redis can put a value of another type in the place of a queue. Every command on it then fails, and
stays failing until the value is removed.
"""

from __future__ import annotations

from redis import Redis

from longshore.broker.priorities import PRIORITY_STEPS
from longshore.broker.queues import QUEUES

#: kombu's separator between the name of a queue and a priority.
SEPARATOR = "\x06\x16"


def expected_types() -> dict[str, str]:
    """The type of each key, as Redis names it, without the prefix of the cluster."""
    queues = [queue if not step else f"{queue}{SEPARATOR}{step}" for queue in QUEUES for step in PRIORITY_STEPS]
    return {
        **dict.fromkeys(queues, "list"),
        **{f"_kombu.binding.{queue}": "set" for queue in (*QUEUES, "celery.pidbox", "reply.celery.pidbox")},
        **{f"_kombu.binding_permanent.{queue}": "set" for queue in QUEUES},
        "_kombu.binding_deadlines": "zset",
        "unacked": "hash",
        "unacked_index": "zset",
        "unacked_mutex": "string",
    }


def remove_wrong_types(client: Redis, prefix: str) -> list[str]:
    """Delete the keys whose values have another type.

    :param client: adds the prefix to the keys of ``DEL`` if the cluster has one, but not to those of ``TYPE``.
    :param prefix: the prefix of the cluster.
    :returns: their names, without the prefix.
    """
    wrong = []
    for key, expected in expected_types().items():
        found = client.type(prefix + key)
        name = found.decode() if isinstance(found, bytes) else str(found)
        if name not in (expected, "none"):
            client.delete(key)
            wrong.append(key.replace(SEPARATOR, ":"))
    return wrong
