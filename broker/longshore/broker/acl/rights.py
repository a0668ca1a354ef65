"""The keys, channels and commands of Redis that each kind of process needs.

Redis runs the scripts of kombu and redis-py with the rights of the user who calls them, so the commands in them count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from longshore.broker.gateway.rate_limits import KEY as RATE_KEY
from longshore.broker.gateway.rate_limits import UNSETTLED_KEY
from longshore.broker.gateway.text_deltas import CHANNEL as TEXT_CHANNEL
from longshore.broker.key_types import SEPARATOR, queue_keys
from longshore.broker.queues import CONTROL_EXCHANGE, QUEUES, REPLY_EXCHANGE


class RedisRole(StrEnum):
    """A kind of process."""

    #: Submits jobs: clients and the command line.
    PRODUCER = "producer"
    WORKER = "worker"
    RELAY = "relay"
    #: The HTTP gateway: submits jobs, and listens to the texts that workers write.
    GATEWAY = "gateway"
    #: Flower and ``longshore doctor``: asks workers, and counts what is queued.
    MONITOR = "monitor"


@dataclass(frozen=True)
class Grant:
    """Commands, and the keys and channels for which they may be used; the prefix of the cluster goes before these."""

    #: Commands, in the form of ACL rules without ``+``.
    commands: tuple[str, ...]
    #: Patterns of keys that are read.
    read: tuple[str, ...] = ()
    #: Patterns of keys that are written.
    write: tuple[str, ...] = ()
    #: Patterns of channels, without the number of the database.
    channels: tuple[str, ...] = ()


#: What every connection of redis-py and kombu sends. ``CLIENT SETINFO`` is left out: Redis 7.0 does not know it and
#: would not load the rules, and redis-py goes on when it is refused.
CONNECTION: Final = ("auth", "hello", "ping", "select")
_TRANSACTION = ("watch", "unwatch", "multi", "exec", "discard")
_SCRIPT = ("evalsha", "script|load", "script|exists")
#: Making, renewing and removing the bindings of queues that expire.
_BINDING = ("sadd", "srem", "smembers", "zadd", "zrem", "zrangebyscore", "exists", "del", "time", "pexpire", "llen")
_SUBSCRIBE = ("psubscribe", "punsubscribe", "publish")

# The separator holds control characters, which an ACL file cannot have: ``?`` stands for each.
_QUEUES: Final = tuple(key.replace(SEPARATOR, "?" * len(SEPARATOR)) for key in queue_keys())
_UNACKED = ("unacked", "unacked_index", "unacked_mutex")
_COALESCING = "longshore:coalesce:*"
_MARK = "longshore:cluster"
_EVENT_EXCHANGE = "celeryev"
#: The queues of answers to questions, by the names that kombu makes up, and their priorities.
_ANSWERS = f"*.{REPLY_EXCHANGE}"
#: The queue of questions of each worker. The names of workers contain ``@``, those of the queues of answers do not.
_QUESTIONS = f"*@*.{CONTROL_EXCHANGE}*"


def _bindings(exchanges: Iterable[str]) -> tuple[str, ...]:
    names = [f"_kombu.binding{kind}.{exchange}" for exchange in exchanges for kind in ("", "_permanent")]
    return (*names, "_kombu.binding_deadlines")


_CONTROL_BINDINGS = _bindings((CONTROL_EXCHANGE, REPLY_EXCHANGE, _EVENT_EXCHANGE))
_WORKER_KEYS = (*_QUEUES, *_UNACKED, *_bindings(QUEUES), *_CONTROL_BINDINGS, _QUESTIONS, _COALESCING)
_MONITOR_KEYS = (*_CONTROL_BINDINGS, f"{_ANSWERS}*", f"{_EVENT_EXCHANGE}.*")
_PRODUCER = (
    # It adds to the queues, and can neither read, count nor remove what others have added. The second grant is apart,
    # because SET would replace a queue.
    Grant(("lpush",), write=_QUEUES),
    Grant(("set",), write=(_COALESCING,)),
)
_TEXTS = f"{TEXT_CHANNEL}*"
_RATES, _UNSETTLED = f"{RATE_KEY}*", f"{UNSETTLED_KEY}*"

#: What each role may do, besides the commands of :data:`CONNECTION`.
RIGHTS: Final[dict[RedisRole, tuple[Grant, ...]]] = {
    RedisRole.PRODUCER: _PRODUCER,
    RedisRole.GATEWAY: (
        *_PRODUCER,
        Grant(("subscribe", "unsubscribe"), channels=(_TEXTS,)),
        Grant((*_SCRIPT, "time", "hmget", "hset", "pexpire"), read=(_RATES,), write=(_RATES,)),
        Grant(("sadd", "srem", "srandmember", "expire"), read=(_UNSETTLED,), write=(_UNSETTLED,)),
    ),
    RedisRole.WORKER: (
        Grant(
            (
                *(*_TRANSACTION, *_SCRIPT, *_BINDING, *_SUBSCRIBE),
                *("brpop", "lpush", "rpush", "hget", "hset", "hdel", "zrange", "get", "set", "type"),
            ),
            read=_WORKER_KEYS,
            write=(*_WORKER_KEYS, _ANSWERS),
            channels=(CONTROL_EXCHANGE, f"{_EVENT_EXCHANGE}/worker.*", f"{_EVENT_EXCHANGE}/task.*"),
        ),
        Grant(("publish",), channels=(_TEXTS,)),
    ),
    RedisRole.RELAY: (
        Grant(("lpush", "llen", "lrange", "lrem"), read=_QUEUES, write=_QUEUES),
        Grant(("get", "set", "expire"), read=(_MARK,), write=(_MARK,)),
    ),
    # It asks workers, which answer questions and obey nothing, and listens to what they tell.
    RedisRole.MONITOR: (
        Grant(
            (*_TRANSACTION, *_SCRIPT, *_BINDING, *_SUBSCRIBE, "brpop", "get", "info"),
            read=(*_QUEUES, _MARK, *_MONITOR_KEYS),
            write=_MONITOR_KEYS,
            channels=(CONTROL_EXCHANGE, f"{_EVENT_EXCHANGE}/*"),
        ),
        # Whoever waits for messages looks for tickets that were not acknowledged in time. A monitor sees them,
        # and puts none back.
        Grant(("set", "get", "del", "evalsha"), read=("unacked_mutex",), write=("unacked_mutex",)),
        Grant(("zrange",), read=("unacked_index",)),
    ),
}
