"""``longshore webhooks``: URLs to which the events of a producer are sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from longshore.broker.webhooks.settings import load_webhook_settings
from longshore.producers.cli.connect import find_settings, open_ledger
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import note, print_fields, print_json, print_table
from longshore.producers.gateway.webhooks.endpoints import NewEndpoint, WebhookEndpoints
from longshore.shared.durations import parse_duration
from longshore.shared.ledger.gateway.webhooks import Delivery, WebhookEndpoint

#: Of the producer whose endpoints they are.
_producer = click.option("--producer", metavar="NAME", help="Whose events. Default: the producer who runs the command.")
_KEEP = "Keep the secret: it cannot be shown again.\n"


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def webhooks(context: click.Context) -> None:
    """Send events to URLs, and look at their deliveries."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"missing command, one of: {', '.join(webhooks.commands)}", context)


@webhooks.command()
@click.argument("url")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Such as job.failed or 'job.*'. Default: all.")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@_producer
@with_options
def create(options: Options, url: str, types: tuple[str, ...], description: str, producer: str | None) -> None:
    """Send events to URL, and show the secret with which they are signed: it cannot be shown again."""
    with _endpoints(options, producer) as endpoints:
        _print_new(options, endpoints.create(url, types=types, description=description))


@webhooks.command("list")
@_producer
@with_options
def list_webhooks(options: Options, producer: str | None) -> None:
    """List the endpoints."""
    with _endpoints(options, producer) as endpoints:
        found = endpoints.all()
    if options.as_json:
        print_json(found)
        return
    rows = [(each.id, _state(each), ", ".join(each.types) or "all", each.url, each.description) for each in found]
    print_table(["id", "state", "types", "url", "description"], rows)


@webhooks.command()
@click.argument("id")
@_producer
@with_options
def show(options: Options, id: str, producer: str | None) -> None:
    """Show the endpoint ID."""
    with _endpoints(options, producer) as endpoints:
        endpoint = endpoints.get(id)
    if options.as_json:
        print_json(endpoint)
        return
    fields = {
        **{"id": endpoint.id, "url": endpoint.url, "types": ", ".join(endpoint.types) or "all"},
        **{"description": endpoint.description, "state": _state(endpoint), "created": endpoint.created_at},
    }
    print_fields({name: value for name, value in fields.items() if value})


@webhooks.command()
@click.argument("id")
@_producer
@with_options
def delete(options: Options, id: str, producer: str | None) -> None:
    """Delete the endpoint ID with its log. What was not delivered is not sent any more."""
    with _endpoints(options, producer) as endpoints:
        endpoints.delete(id)
    _print_done(options, {"id": id, "deleted": True}, f"{id} is deleted")


@webhooks.command()
@click.argument("id")
@_producer
@with_options
def enable(options: Options, id: str, producer: str | None) -> None:
    """Send events again to the endpoint ID, which was disabled because it has answered 410."""
    with _endpoints(options, producer) as endpoints:
        endpoints.enable(id)
    done = f"{id} gets events from now on; for those before: longshore webhooks redeliver {id} --since 7d"
    _print_done(options, {"id": id, "enabled": True}, done)


@webhooks.command()
@click.argument("id")
@_producer
@with_options
def rotate(options: Options, id: str, producer: str | None) -> None:
    """Replace the secret of the endpoint ID. The old one is valid for another 24 hours."""
    with _endpoints(options, producer) as endpoints:
        _print_new(options, endpoints.rotate(id))


@webhooks.command()
@click.argument("id")
@_producer
@with_options
def test(options: Options, id: str, producer: str | None) -> None:
    """Send an event of type webhook.test to the endpoint ID."""
    with _endpoints(options, producer) as endpoints:
        event = endpoints.test(id)
    _print_done(options, {"event": event}, f"{event} is sent; see longshore webhooks deliveries {id}")


@webhooks.command()
@click.argument("id")
@click.option("--state", type=click.Choice(["pending", "delivered", "failed"]), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, help="How many, the newest. Default: 50.")
@_producer
@with_options
def deliveries(options: Options, id: str, state: str | None, limit: int, producer: str | None) -> None:
    """List the events of the last 30 days that were, or are to be, sent to the endpoint ID."""
    with _endpoints(options, producer) as endpoints:
        found = endpoints.deliveries(id, state=state, limit=limit)
    if options.as_json:
        print_json(found)
        return
    columns = ["event", "type", "state", "tries", "last", "ms", "next try", "error"]
    print_table(columns, [_delivery_row(each) for each in found])


@webhooks.command()
@click.argument("id")
@click.option("--event", metavar="EVENT", help="Only this one.")
@click.option("--since", metavar="AGE", help="All of at most this age, such as 30m, 2h or 7d.")
@_producer
@with_options
def redeliver(options: Options, id: str, event: str | None, since: str | None, producer: str | None) -> None:
    """Send one event again to the endpoint ID, or all since a time, with their old ids."""
    start = None if since is None else datetime.now(UTC) - parse_duration(since, "--since", short=True)
    with _endpoints(options, producer) as endpoints:
        count = endpoints.redeliver(id, event=event, since=start)
    _print_done(options, {"events": count}, f"{count:,} events are sent again")


@contextmanager
def _endpoints(options: Options, producer: str | None) -> Iterator[WebhookEndpoints]:
    settings = find_settings(options)
    with open_ledger(settings) as ledger:
        yield WebhookEndpoints(ledger.webhooks, producer or settings.producer, load_webhook_settings())


def _print_new(options: Options, new: NewEndpoint) -> None:
    if options.as_json:
        print_json({"id": new.endpoint.id, "url": new.endpoint.url, "secret": new.secret})
    else:
        sys.stdout.write(f"{new.endpoint.id}  {new.secret}\n")
        sys.stderr.write(_KEEP)


def _print_done(options: Options, document: dict[str, object], text: str) -> None:
    if options.as_json:
        print_json(document)
    else:
        note(text)


def _state(endpoint: WebhookEndpoint) -> str:
    if endpoint.disabled_at is not None:
        return f"disabled: {endpoint.disabled_reason}"
    return "works" if endpoint.failing_since is None else f"fails since {endpoint.failing_since:%Y-%m-%d %H:%M}"


def _delivery_row(delivery: Delivery) -> tuple[object, ...]:
    last = delivery.tries[-1] if delivery.tries else {}
    next_try = "" if delivery.next_try_at is None else f"{delivery.next_try_at:%Y-%m-%d %H:%M:%S}"
    return (
        *(delivery.event_id, delivery.type, delivery.state, str(delivery.attempt), str(last.get("status") or "")),
        *(str(last.get("duration_ms", "")), next_try if delivery.state == "pending" else "", last.get("error") or ""),
    )
