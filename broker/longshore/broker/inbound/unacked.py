"""Messages that a worker had taken and not acknowledged, as kombu stores them: ``[message, exchange, queue]``."""

from __future__ import annotations

import json

from longshore.broker.inbound.malformed import MAX_MESSAGE_BYTES, Malformed, as_object
from longshore.broker.inbound.tickets import check_ticket_object
from longshore.broker.queues import QUEUES


def check_unacked(stored: bytes | str) -> tuple[str, dict[str, object]]:
    """The queue of a stored message, and the message to put back into it.

    :raises Malformed: it is no ticket of a queue.
    """
    if len(stored) > 2 * MAX_MESSAGE_BYTES:
        raise Malformed("too large")
    try:
        value = json.loads(stored)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(value, list) or len(value) != 3:
        raise Malformed("another form")
    message, _, queue = value
    if not isinstance(queue, str) or queue not in QUEUES:
        raise Malformed("unknown queue")
    return queue, check_ticket_object(as_object(message, "not a JSON object"), queue)
