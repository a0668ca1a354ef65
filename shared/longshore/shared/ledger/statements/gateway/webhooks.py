"""Webhooks: the endpoints of producers, the outbox of events, and their deliveries."""

from __future__ import annotations

from typing import Final

#: Days for which events and their deliveries are kept.
KEEP_DAYS: Final = 30
#: Hours for which messages are also signed with a secret that was replaced.
ROTATION_HOURS: Final = 24
#: Tries that the log of a delivery keeps, the last ones.
MAX_TRIES_KEPT: Final = 20


def _subscribed(type: str) -> str:
    """Whether an endpoint has subscribed to a type, as in the triggers of migration 0019."""
    return f"""
        (types = '{{}}' OR EXISTS (
            SELECT FROM unnest(types) AS pattern
            WHERE {type} = pattern OR (right(pattern, 1) = '*' AND starts_with({type}, left(pattern, -1)))))
    """


#: Without an endpoint that has subscribed to the type, nothing is written. A trigger adds a delivery for each endpoint.
ADD_EVENT: Final = f"""
    INSERT INTO webhook_events (id, producer, type, data)
    SELECT %(id)s, %(producer)s, %(type)s, %(data)s
    WHERE EXISTS (
        SELECT FROM webhook_endpoints WHERE producer = %(producer)s AND {_subscribed("%(type)s")}
    )
"""

# Endpoints of a producer.

#: No row: the producer has as many as it may have.
ADD_ENDPOINT: Final = """
    INSERT INTO webhook_endpoints (id, producer, url, types, description)
    SELECT %(id)s, %(producer)s, %(url)s, %(types)s, %(description)s
    WHERE (SELECT count(*) FROM webhook_endpoints WHERE producer = %(producer)s) < %(max)s
    RETURNING id
"""
_ENDPOINT: Final = "id, url, types, description, created_at, disabled_at, disabled_reason, failing_since"
LIST_ENDPOINTS: Final = f"""
    SELECT {_ENDPOINT} FROM webhook_endpoints WHERE producer = %(producer)s ORDER BY created_at, id
"""
READ_ENDPOINT: Final = f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE id = %(id)s AND producer = %(producer)s"
#: What is NULL stays.
CHANGE_ENDPOINT: Final = """
    UPDATE webhook_endpoints
    SET url = coalesce(%(url)s, url), types = coalesce(%(types)s::text[], types),
        description = coalesce(%(description)s, description)
    WHERE id = %(id)s AND producer = %(producer)s
    RETURNING id
"""
ENABLE_ENDPOINT: Final = """
    UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL
    WHERE id = %(id)s AND producer = %(producer)s
    RETURNING id
"""
DELETE_DELIVERIES: Final = """
    DELETE FROM webhook_deliveries
    WHERE endpoint_id = (SELECT id FROM webhook_endpoints WHERE id = %(id)s AND producer = %(producer)s)
"""
DELETE_ENDPOINT: Final = "DELETE FROM webhook_endpoints WHERE id = %(id)s AND producer = %(producer)s RETURNING id"
ADD_SECRET: Final = "INSERT INTO webhook_secrets (endpoint_id, secret) VALUES (%(id)s, %(secret)s)"
REPLACE_SECRETS: Final = f"""
    UPDATE webhook_secrets SET expires_at = now() + interval '{ROTATION_HOURS} hours'
    WHERE endpoint_id = %(id)s AND expires_at IS NULL
"""

# Deliveries of an endpoint. The caller has made sure that the endpoint is the producer's.

ADD_TEST_EVENT: Final = """
    INSERT INTO webhook_events (id, producer, type, data) VALUES (%(id)s, %(producer)s, 'webhook.test', %(data)s)
"""
_NEW_DELIVERY: Final = "INSERT INTO webhook_deliveries (event_id, endpoint_id, state, next_try_at)"
ADD_DELIVERY: Final = f"{_NEW_DELIVERY} VALUES (%(event)s, %(endpoint)s, 'pending', now())"
#: What a relay is sending at this moment is sent again, too.
_AGAIN: Final = """
    ON CONFLICT (event_id, endpoint_id) DO UPDATE
    SET state = 'pending', attempt = 0, claims = webhook_deliveries.claims + 1, next_try_at = now()
"""
REDELIVER_EVENT: Final = f"""
    {_NEW_DELIVERY}
    SELECT id, %(endpoint)s, 'pending', now() FROM webhook_events WHERE id = %(event)s AND producer = %(producer)s
    {_AGAIN}
"""
REDELIVER_SINCE: Final = f"""
    {_NEW_DELIVERY}
    SELECT event.id, endpoint.id, 'pending', now()
    FROM webhook_events AS event JOIN webhook_endpoints AS endpoint ON endpoint.id = %(endpoint)s
    WHERE event.producer = %(producer)s AND event.created_at >= %(since)s AND event.type <> 'webhook.test'
      AND {_subscribed("event.type")}
    {_AGAIN}
"""
#: The newest first, after one that was listed before.
LIST_DELIVERIES: Final = """
    SELECT delivery.event_id, event.type, delivery.state, delivery.attempt, delivery.next_try_at, delivery.tries,
           delivery.created_at
    FROM webhook_deliveries AS delivery JOIN webhook_events AS event ON event.id = delivery.event_id
    WHERE delivery.endpoint_id = %(endpoint)s
      AND (delivery.created_at, delivery.event_id) < (%(before)s::timestamptz, %(before_event)s::text)
      AND (%(state)s::text IS NULL OR delivery.state = %(state)s)
    ORDER BY delivery.created_at DESC, delivery.event_id DESC LIMIT %(limit)s
"""

# What the relay does.

#: Claims deliveries whose time has come, so many of each endpoint that with those that are being sent there are no more
#: than ``each``. A claim runs out after ``lease`` seconds: another relay then sends what this one has not.
CLAIM_DELIVERIES: Final = """
    WITH chosen AS MATERIALIZED (
        SELECT due.event_id, due.endpoint_id, open.url
        FROM (
            SELECT endpoint.id, endpoint.url, %(each)s - coalesce(busy.count, 0) AS free
            FROM webhook_endpoints AS endpoint
            LEFT JOIN unnest(%(busy)s::text[], %(counts)s::bigint[]) AS busy (id, count) ON busy.id = endpoint.id
            WHERE endpoint.disabled_at IS NULL AND (endpoint.failing_since IS NOT NULL) = %(failing)s
        ) AS open
        CROSS JOIN LATERAL (
            SELECT event_id, endpoint_id FROM webhook_deliveries AS delivery
            WHERE state = 'pending' AND delivery.endpoint_id = open.id AND next_try_at <= now()
            ORDER BY next_try_at LIMIT greatest(open.free, 0) FOR UPDATE SKIP LOCKED
        ) AS due
        LIMIT %(limit)s
    )
    UPDATE webhook_deliveries AS delivery
    SET claims = claims + 1, next_try_at = now() + make_interval(secs => %(lease)s)
    FROM chosen JOIN webhook_events AS event ON event.id = chosen.event_id
    WHERE delivery.event_id = chosen.event_id AND delivery.endpoint_id = chosen.endpoint_id
    RETURNING delivery.event_id, delivery.endpoint_id, delivery.attempt, delivery.claims, chosen.url, event.type,
              event.data, event.created_at, ARRAY(
                  SELECT secret FROM webhook_secrets
                  WHERE webhook_secrets.endpoint_id = delivery.endpoint_id
                    AND (expires_at IS NULL OR expires_at > now())
                  ORDER BY id DESC
              ) AS secrets
"""
#: No row: the claim has run out, and another relay has sent it again.
RECORD_TRY: Final = f"""
    UPDATE webhook_deliveries
    SET attempt = attempt + 1, state = %(state)s, next_try_at = now() + make_interval(secs => %(delay)s::float8),
        tries = CASE WHEN jsonb_array_length(tries) < {MAX_TRIES_KEPT} THEN tries ELSE tries - 0 END || %(log)s::jsonb
    WHERE event_id = %(event)s AND endpoint_id = %(endpoint)s AND claims = %(claims)s AND state = 'pending'
    RETURNING 1
"""
MARK_FAILING: Final = """
    UPDATE webhook_endpoints SET failing_since = now() WHERE id = %(endpoint)s AND failing_since IS NULL
"""
MARK_WORKING: Final = """
    UPDATE webhook_endpoints SET failing_since = NULL WHERE id = %(endpoint)s AND failing_since IS NOT NULL
"""
DISABLE_ENDPOINT: Final = """
    UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = %(reason)s
    WHERE id = %(endpoint)s AND disabled_at IS NULL
"""
DROP_PENDING: Final = """
    UPDATE webhook_deliveries SET state = 'failed', next_try_at = NULL
    WHERE endpoint_id = %(endpoint)s AND state = 'pending'
"""
DELETE_OLD_EVENTS: Final = f"""
    DELETE FROM webhook_events WHERE id IN (
        SELECT id FROM webhook_events WHERE created_at < now() - interval '{KEEP_DAYS} days'
        ORDER BY created_at LIMIT %(limit)s
    )
"""
DELETE_OLD_SECRETS: Final = "DELETE FROM webhook_secrets WHERE expires_at < now()"
#: Deliveries to endpoints that exist which have not ended, up to a limit of each endpoint.
COUNT_PENDING: Final = """
    SELECT coalesce(sum(pending.count), 0)::bigint FROM webhook_endpoints AS endpoint CROSS JOIN LATERAL (
        SELECT count(*) FROM (
            SELECT FROM webhook_deliveries WHERE endpoint_id = endpoint.id AND state = 'pending' LIMIT %(limit)s
        ) AS first
    ) AS pending
"""
