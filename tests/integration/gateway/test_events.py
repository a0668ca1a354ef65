"""The events of jobs, as an ``EventSource`` reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx
import psycopg
import pytest

from longshore.producers.documents.json_text import to_json
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.gateway.answers import Document
from tests.integration.gateway_beside import RunningGateway
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.usefixtures("digits_version")
IMAGES, LABELS = digits.digits()
ROWS = [{"pixels": image.tolist()} for image in IMAGES[:20]]
LABELLED = [{**row, "label": int(label)} for row, label in zip(ROWS, LABELS, strict=False)]
WAITING = {"kind": "infer", "model": "digits:1", "data": ROWS, "options": {"device": "gpu"}}
#: Callers who follow the same job.
FOLLOWERS = 150
CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'longshore%'
"""


@dataclass(frozen=True)
class Event:
    """An event as it is sent."""

    id: str
    kind: str
    data: Document | list[Document]


def events_of(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a stream, without its comments."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


def follow(http: httpx.Client, id: str, last: str | None = None) -> list[Event]:
    """All events of a job, until it has ended."""
    headers = {} if last is None else {"last-event-id": last}
    with http.stream("GET", f"/v1/jobs/{id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(events_of(answer.iter_lines()))


def metrics_of(events: Iterable[Event]) -> list[Document]:
    """The metrics of all events, as a list of the job has them."""
    found = [metric for event in events if event.kind == "metrics" for metric in event.data]
    return sorted(found, key=lambda metric: (metric["step"], metric["name"]))  # type: ignore[arg-type]


def test_a_training_to_its_end_and_again(http: httpx.Client, cluster: Cluster) -> None:
    body = {"kind": "train", "model": "followed", "family": "linear", "data": LABELLED, "target": "label"}
    id_ = http.post("/v1/jobs", json={**body, "options": {"epochs": 40}}).json()["id"]
    events = follow(http, id_)
    assert [event.kind for event in events].index("end") == len(events) - 1
    assert events[-1].data == http.get(f"/v1/jobs/{id_}").json()
    with cluster.client() as client:
        metrics = json.loads(to_json(client.job(id_).metrics()))
    assert metrics_of(events) == metrics
    seen = next(event.id for event in events if event.kind == "metrics")
    before = events[: [event.id for event in events].index(seen) + 1]
    again = follow(http, id_, last=seen)
    assert again[-1] == events[-1]
    assert metrics_of([*before, *again]) == metrics
    assert follow(http, id_, last="no id of ours")[-1] == events[-1]
    answer = http.get(f"/v1/jobs/{id_}/events", headers={"last-event-id": events[-1].id})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_retry_is_followed_by_who_saw_the_end(http: httpx.Client) -> None:
    id_ = http.post("/v1/jobs", json=WAITING).json()["id"]
    http.post(f"/v1/jobs/{id_}/cancel").raise_for_status()
    [progress, end] = follow(http, id_)
    assert (progress.kind, end.kind) == ("progress", "end")
    http.post(f"/v1/jobs/{id_}/retry").raise_for_status()
    with http.stream("GET", f"/v1/jobs/{id_}/events", headers={"last-event-id": end.id}) as answer:
        events = events_of(answer.iter_lines())
        assert next(events).data["state"] == "queued"  # type: ignore[call-overload]
        http.post(f"/v1/jobs/{id_}/cancel").raise_for_status()
        assert [event.kind for event in events][-1] == "end"


def test_many_followers_share_the_connections(gateway: RunningGateway, http: httpx.Client) -> None:
    id_ = http.post("/v1/jobs", json=WAITING).json()["id"]
    token = gateway.token()
    begun = asyncio.Queue[None]()

    async def follow_one(http: httpx.AsyncClient) -> str:
        lines: list[str] = []
        async with http.stream("GET", f"/v1/jobs/{id_}/events") as answer:
            async for line in answer.aiter_lines():
                if not lines:
                    begun.put_nowait(None)
                lines.append(line)
        return list(events_of(lines))[-1].kind

    async def run() -> tuple[int, list[str]]:
        async with httpx.AsyncClient(
            base_url=gateway.url,
            headers={"authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            limits=httpx.Limits(max_connections=None),
        ) as http:
            tasks = [asyncio.create_task(follow_one(http)) for _ in range(FOLLOWERS)]
            for _ in range(FOLLOWERS):
                await begun.get()
            with psycopg.connect(gateway.cluster.settings.database_url) as conn:
                row = conn.execute(CONNECTIONS).fetchone()
            (await http.post(f"/v1/jobs/{id_}/cancel")).raise_for_status()
            return int(row[0]) if row else 0, await asyncio.gather(*tasks)

    connections, ends = asyncio.run(run())
    assert ends == ["end"] * FOLLOWERS
    assert connections < FOLLOWERS / 2
