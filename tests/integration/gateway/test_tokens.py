"""Who may call."""

from __future__ import annotations

import httpx

from longshore.producers.gateway.access.tokens import KEEP_S
from tests.integration.gateway_beside import RunningGateway
from tests.waiting import wait_until

UNKNOWN = "/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057"


def test_without_a_valid_token_nothing_is_answered(gateway: RunningGateway) -> None:
    token = gateway.token()
    changed = token[:-1] + ("0" if token[-1] != "0" else "1")
    for text in ("", "lsk_", changed, token.upper()):
        with gateway.http(text) as http:
            answer = http.get(UNKNOWN)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_revoked_token_is_refused_at_once(gateway: RunningGateway) -> None:
    token = gateway.token()
    with gateway.http(token) as http:
        assert http.get(UNKNOWN).status_code == 404
        gateway.cluster.ledger.tokens.revoke(token.split("_")[1])
        wait_until(lambda: http.get(UNKNOWN).status_code == 401, "the announcement", timeout_s=0.8 * KEEP_S)


def test_a_scope_is_needed(gateway: RunningGateway) -> None:
    with gateway.http(gateway.token(scopes=["models:read"])) as http:
        answer = http.get(UNKNOWN)
        assert answer.status_code == 403
        assert "jobs:read" in answer.json()["detail"]


def test_a_job_that_is_not_there(http: httpx.Client) -> None:
    answer = http.get(UNKNOWN)
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": "unknown_job",
        "detail": "job: there is no job 01890a5d-ac96-774b-bcce-b302099a8057",
        "errors": [{"field": "job", "detail": "there is no job 01890a5d-ac96-774b-bcce-b302099a8057"}],
    }
