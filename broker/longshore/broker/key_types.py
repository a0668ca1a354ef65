"""The keys of the queues in Redis and their types.

Whoever can write to Redis can put a value of another type in the place of a queue. Every command on it then fails, and
stays failing until the value is removed.
"""

from __future__ import annotations

from redis import Redis

from longshore.broker.priorities import PRIORITY_STEPS
from longshore.broker.queues import CONTROL_EXCHANGE, QUEUES, REPLY_EXCHANGE

#: kombu's separator between the name of a queue and a priority.
SEPARATOR = "\x06\x16"


def queue_keys() -> list[str]:
    """The key of each queue and priority, without the prefix of the cluster."""
    return [queue if not step else f"{queue}{SEPARATOR}{step}" for queue in QUEUES for step in PRIORITY_STEPS]


def expected_types() -> dict[str, str]:
    """The type of each key, as Redis names it, without the prefix of the cluster."""
    return {
        **dict.fromkeys(queue_keys(), "list"),
        **{f"_kombu.binding.{queue}": "set" for queue in (*QUEUES, CONTROL_EXCHANGE, REPLY_EXCHANGE)},
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
