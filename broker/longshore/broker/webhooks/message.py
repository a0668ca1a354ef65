"""The body of a message: one that readers of Standard Webhooks and of OpenAI's events both understand."""

from __future__ import annotations

import json

from longshore.shared.ledger.gateway.webhook_deliveries import ClaimedDelivery


def body_of(delivery: ClaimedDelivery) -> bytes:
    """The event as JSON.

    Standard Webhooks has ``type``, ``timestamp`` and ``data``; OpenAI has ``id``, ``object``, ``type``, ``created_at``
    in seconds since 1970, and ``data``.
    """
    event = {
        "object": "event",
        "id": delivery.event_id,
        "type": delivery.type,
        "created_at": int(delivery.created_at.timestamp()),
        "timestamp": delivery.created_at.isoformat(),
        "data": delivery.data,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
