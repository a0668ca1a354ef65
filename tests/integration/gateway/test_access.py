"""Every route against every kind of token: nothing is read, changed or guessed without the right one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast
from uuid import UUID

import httpx
import psycopg
import pytest
from starlette.routing import BaseRoute
from uuid_utils.compat import uuid7

from longshore.producers.gateway.app import make_app
from longshore.producers.gateway.openai.error_objects import is_openai_path
from longshore.producers.gateway.serving.admission import Admission
from longshore.producers.gateway.settings import GatewaySettings
from longshore.shared.ledger.gateway.files import new_file_id
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.settings import Settings
from tests.integration.gateway.access_table import MODEL, PUBLIC, REFERENCES, ROUTES, Json, Route
from tests.integration.gateway_beside import RunningGateway
from tests.integration.support import new_job
from tests.waiting import TIMEOUT_S

OWN, OTHER = "search-team", "other-team"
#: Differ between two answers that say the same.
VARYING = ("date", "x-request-id")


class _Dependant(Protocol):
    own_oauth_scopes: list[Scope] | None
    dependencies: list[_Dependant]


class _Route(Protocol):
    path: str
    methods: Iterable[str]
    dependant: _Dependant


def every_route() -> dict[str, tuple[str, ...]]:
    """The routes that FastAPI serves, with the scopes that each declares."""
    options = GatewaySettings()
    nowhere = Settings(
        redis_url="redis://nowhere", database_url="postgresql://nowhere/x", store="file:///x", producer="x"
    )
    return dict(_described(make_app(nowhere, options, Admission(options)).routes))


def _described(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for each in routes:
        if hasattr(each, "effective_candidates"):  # routes of a router that the application includes
            yield from _described(each.effective_candidates())
            continue
        route = cast("_Route", each)
        needed = tuple(_scopes(route.dependant)) if hasattr(route, "dependant") else ()
        yield from ((f"{method} {route.path}", needed) for method in route.methods)


def _scopes(dependant: _Dependant) -> Iterator[str]:
    yield from dependant.own_oauth_scopes or ()
    for each in dependant.dependencies:
        yield from _scopes(each)


@dataclass(frozen=True)
class Ids:
    """A thing of another producer, and one that does not exist."""

    foreign: str
    absent: str


@pytest.fixture(scope="module")
def ids(gateway: RunningGateway) -> Mapping[str, Ids]:
    """By the start of the path. No worker takes the job."""
    ledger = gateway.cluster.ledger
    job = ledger.submissions.submit([new_job(2, producer=OTHER, queue="gpu", model=MODEL)])[0]
    with gateway.http(producer=OTHER) as http:
        file = send(http, "POST /v1/files").json()["id"]
        form = {"purpose": b"batch", "file": b"{}\n"}
        requests = send(http, "POST /v1/files", route=replace(ROUTES["POST /v1/files"], form=form)).json()["id"]
        batch = http.post("/v1/batches", json=_batch_of(requests)).json()["id"]
        webhook = send(http, "POST /v1/webhooks").json()["id"]
        upload = send(http, "POST /v1/uploads").json()["id"]
    return {
        "/v1/jobs/": Ids(str(job), str(uuid7())),
        "/v1/files/": Ids(file, new_file_id()),
        "/v1/uploads/": Ids(upload, _other(upload)),
        "/v1/batches/": Ids(batch, _other(batch)),
        "/v1/webhooks/": Ids(webhook, _other(webhook)),
    }


def _batch_of(file: str) -> Json:
    return {"input_file_id": file, "endpoint": "/v1/embeddings", "completion_window": "24h"}


def _other(id: str) -> str:
    """An id in the same form that nothing has."""
    start, mark, digits = id.rpartition("_")
    return f"{start}{mark}{'0' * len(digits)}"


def send(http: httpx.Client, name: str, id: str = "", route: Route | None = None) -> httpx.Response:
    """A request as the table has it.

    :param route: another content.
    """
    method, _, path = name.partition(" ")
    route = ROUTES[name] if route is None else route
    for parameter in ("{ref:path}", "{name:path}", "{reference:path}"):
        path = path.replace(parameter, MODEL)
    url = path.replace("{id}", id).replace("{alias}", "a")
    if route.form:
        files = {key: (None if key == "purpose" else "a.jsonl", value) for key, value in route.form.items()}
        return http.request(method, url, files=files)
    return http.request(method, url, json=route.body) if route.body is not None else http.request(method, url)


def id_for(ids: Mapping[str, Ids], name: str) -> Ids:
    path = name.partition(" ")[2]
    return next((found for start, found in ids.items() if path.startswith(start)), Ids("", ""))


def same(answer: httpx.Response, *names: str) -> tuple[int, dict[str, str], str]:
    """An answer, without what must differ."""
    text = answer.text
    for name in names:
        text = text.replace(name, "NAME")
    headers = {key: value for key, value in answer.headers.items() if key not in VARYING}
    return answer.status_code, headers, text


def test_every_route_is_in_the_table_with_its_scopes() -> None:
    routes = {name: set(scopes) for name, scopes in every_route().items() if name not in PUBLIC}
    assert routes == {name: set(route.scopes) for name, route in ROUTES.items()}
    assert all(routes.values()), "each needs a scope"


def test_without_a_valid_token_every_route_gives_the_same_answer(
    gateway: RunningGateway, ids: Mapping[str, Ids]
) -> None:
    valid, expired, revoked = (gateway.token(OTHER) for _ in range(3))
    with psycopg.connect(gateway.cluster.settings.database_url) as conn:
        conn.execute(
            "UPDATE tokens SET expires_at = now() - interval '1 second' WHERE id = %s", [expired.split("_")[1]]
        )
    gateway.cluster.ledger.tokens.revoke(revoked.split("_")[1])
    tokens = {
        "none": None,
        "empty": "Bearer",
        "malformed": "Bearer lsk_x",
        "of another scheme": f"Basic {valid}",
        "without its secret": f"Bearer {valid.rpartition('_')[0]}",
        "unknown": f"Bearer lsk_{'0' * 16}_{'0' * 64}",
        "with another secret": f"Bearer {valid[:-8]}{'0' * 8}",
        "expired": f"Bearer {expired}",
        "revoked": f"Bearer {revoked}",
    }
    answers = {}
    with httpx.Client(base_url=gateway.url, timeout=TIMEOUT_S) as http:
        for kind, header in tokens.items():
            http.headers = httpx.Headers({} if header is None else {"Authorization": header})
            for name in [*ROUTES, "GET /v1/nothing", "POST /v1"]:
                answer = send(http, name, id_for(ids, name).foreign, Route((), {"a": "b"}))
                answers[kind, name] = same(answer)
    expected = answers["none", "GET /v1/jobs"]
    assert expected[0] == 401
    assert expected[1]["www-authenticate"] == "Bearer"
    # The errors of OpenAI's routes have a member more.
    openai = answers["none", "POST /v1/embeddings"]
    for (kind, name), seen in answers.items():
        assert seen == (openai if is_openai_path(name.partition(" ")[2]) else expected), (kind, name)
    assert {seen[0] for seen in answers.values()} == {401}


def test_each_route_needs_all_of_its_scopes(gateway: RunningGateway, ids: Mapping[str, Ids]) -> None:
    wrong = []
    for scopes in [(scope,) for scope in Scope] + [(Scope.JOBS_WRITE, Scope.JOBS_READ)]:
        with gateway.http(gateway.token(OWN, scopes)) as http:
            for name, route in ROUTES.items():
                answer = send(http, name, id_for(ids, name).absent)
                allowed = set(route.scopes) <= set(scopes)
                if (answer.status_code == 403) == allowed or answer.status_code in (401, *range(500, 600)):
                    wrong.append((scopes, name, answer.status_code, answer.text))
    assert wrong == []


def test_what_belongs_to_another_producer_is_absent(gateway: RunningGateway, ids: Mapping[str, Ids]) -> None:
    ledger = gateway.cluster.ledger
    job = UUID(ids["/v1/jobs/"].foreign)
    before = ledger.queries.job(job), ledger.queries.shards(job)
    wrong = []
    with gateway.http(producer=OWN) as http:
        for name in ROUTES:
            if "{id}" in name:
                found = id_for(ids, name)
                foreign, absent = (send(http, name, id) for id in (found.foreign, found.absent))
                if same(foreign, found.foreign) != same(absent, found.absent) or absent.status_code != 404:
                    wrong.append((name, foreign.status_code, foreign.text, absent.status_code, absent.text))
        for start, name, field in REFERENCES:
            found = ids[start]
            foreign, absent = (
                http.get(name.partition(" ")[2], params={field: id})
                if name.startswith("GET")
                else http.post(name.partition(" ")[2], json=_batch_of(id))
                for id in (found.foreign, found.absent)
            )
            if same(foreign, found.foreign) != same(absent, found.absent) or absent.status_code != 400:
                wrong.append((name, foreign.status_code, foreign.text, absent.status_code, absent.text))
        listed = [name for name in ROUTES if name.startswith("GET") and "{" not in name]
        seen = [name for name in listed if any(each.foreign in send(http, name).text for each in ids.values())]
    assert seen == []
    assert wrong == []
    after = ledger.queries.job(job), ledger.queries.shards(job)
    assert replace(before[0], read_at=after[0].read_at) == after[0]
    assert before[1] == after[1]
    with gateway.http(producer=OTHER) as http:
        for kind in ("jobs", "files", "uploads", "batches", "webhooks"):
            name = f"GET /v1/{kind}/{{id}}"
            assert send(http, name, id_for(ids, name).foreign).is_success, name
        assert http.get(f"/v1/uploads/{ids['/v1/uploads/'].foreign}").json()["status"] == "pending"


def test_a_model_that_no_pattern_allows_is_neither_used_nor_seen(gateway: RunningGateway) -> None:
    wrong = []
    with gateway.http(gateway.token(OWN, models=["allowed-*"])) as http:
        for name, route in ROUTES.items():
            if route.names_model:
                answer = send(http, name)
                if answer.status_code != 403 or answer.json()["code"] != "forbidden":
                    wrong.append((name, answer.status_code, answer.text))
    assert wrong == []
