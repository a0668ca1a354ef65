"""``longshore tokens``: who may call the HTTP gateway."""

from __future__ import annotations

import re

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.support import empty_tables


@pytest.fixture
def longshore(services: Settings) -> CommandLine:
    empty_tables(services.database_url)
    return CommandLine({**without_settings(), **services.environment()})


def test_a_token_is_shown_once_listed_without_its_secret_and_revoked(
    longshore: CommandLine, services: Settings
) -> None:
    made = longshore(
        *("tokens", "create", "--producer", "search-team", "--scope", "jobs:write", "--scope", "jobs:read"),
        *("--model", "search-*", "--expires", "90d", "--requests-per-minute", "600", "--queued-jobs", "20000"),
        *("--note", "the search service"),
    )
    match = re.fullmatch(r"lsk_([0-9a-f]{16})_([0-9a-f]{64})\n", made.out)
    assert match is not None
    id_, secret = match.groups()
    assert made.err == f"Keep it: it cannot be shown again. To revoke it: longshore tokens revoke {id_}\n"
    ended = longshore("tokens", "create", "--producer", "b", "--scope", "jobs:read", "--expires", "1h", "--json")
    with Ledger(services.database_url) as ledger, ledger.database.connection() as conn:
        conn.execute("UPDATE tokens SET expires_at = now() WHERE producer = 'b'")
        assert isinstance(ended.document, dict)
        assert ledger.tokens.valid(ended.document["token"]) is None
        valid = ledger.tokens.valid(made.out.strip())
    assert valid is not None
    assert (valid.requests_per_minute, valid.rows_per_day, valid.queued_jobs) == (600, None, 20000)

    listed = longshore("tokens", "list")
    assert secret not in listed.out
    rows = [re.split(r"\s{2,}", line) for line in listed.out.splitlines()]
    assert rows[0] == ["id", "producer", "state", "scopes", "models", "limits", "expires", "note"]
    limits = "600 requests per minute, 20,000 queued jobs"
    assert rows[1][:6] == [id_, "search-team", "valid", "jobs:read, jobs:write", "search-*", limits]
    assert rows[1][7] == "the search service"
    assert rows[2][1:5] == ["b", "expired", "jobs:read", "all"]

    # A whole token is taken for its id, and its secret is not repeated.
    assert longshore("tokens", "revoke", made.out.strip()).out == f"{id_} is revoked\n"
    document = longshore("tokens", "list", "--json").document
    assert isinstance(document, list)
    assert document[0]["state"] == "revoked"
    assert not {"digest", "token"} & document[0].keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--producer", "a"], "scope: write at least one of jobs:read, "),
        (["--producer", "a", "--scope", "jobs"], "scope: 'jobs': one of jobs:read, "),
        (["--producer", "", "--scope", "jobs:read"], "producer: 0 characters"),
        (["--producer", "a", "--scope", "jobs:read", "--expires", "soon"], "--expires: 'soon' is not a duration"),
        (["--producer", "a", "--scope", "jobs:read", "--rows-per-day", "0"], "--rows-per-day: 0: write a number"),
        (["--producer", "a", "--scope", "jobs:read", "--model", ""], "--model: write a pattern"),
    ],
)
def test_a_wrong_option_is_named(longshore: CommandLine, arguments: list[str], message: str) -> None:
    refused = longshore("tokens", "create", *arguments)
    assert refused.code == 2
    assert message in refused.err


def test_an_unknown_token_cannot_be_revoked(longshore: CommandLine) -> None:
    refused = longshore("tokens", "revoke", f"lsk_{'0' * 16}_{'a' * 64}")
    assert refused.code == 2
    assert refused.err == f"longshore: token: there is no token {'0' * 16}; see longshore tokens list\n"
