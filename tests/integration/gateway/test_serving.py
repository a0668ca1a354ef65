"""What holds for every request: limits, slow callers, forms of bodies, the access log, the end."""

from __future__ import annotations

import json
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgpack
import psycopg
import pytest

from tests.integration.certificates import write_certificates
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.integration.support import new_job
from tests.waiting import TIMEOUT_S, wait_until

UNKNOWN = "/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057"
LIMITS = {
    "LONGSHORE_GATEWAY_MAX_BODY_BYTES": "1000",
    "LONGSHORE_GATEWAY_MAX_UPLOAD_BYTES": "5000",
    "LONGSHORE_GATEWAY_MAX_REQUESTS": "3",
    "LONGSHORE_GATEWAY_MAX_WAITING": "2",
    "LONGSHORE_GATEWAY_ADMISSION_S": "0.2",
    "LONGSHORE_GATEWAY_READY_S": "60",
    "LONGSHORE_GATEWAY_CORS_ORIGINS": "https://app.example.org",
    "LONGSHORE_LOG_FORMAT": "json",
}
#: Of a gateway of their own: a busy machine is as slow.
SLOW = {"LONGSHORE_GATEWAY_HEADERS_S": "0.5", "LONGSHORE_GATEWAY_BODY_S": "0.5"}


@pytest.fixture(scope="module")
def small(cluster: Cluster) -> Iterator[RunningGateway]:
    """A gateway with small limits."""
    with running_gateway(cluster, LIMITS) as gateway:
        yield gateway


@contextmanager
def raw(gateway: RunningGateway) -> Iterator[socket.socket]:
    """A connection without a library."""
    parts = urlsplit(gateway.url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 0), timeout=TIMEOUT_S) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the gateway ends the connection."""
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def head(token: str, *more: str, path: str = "/v1/unknown") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", "Content-Type: application/json"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def test_health_needs_no_token(small: RunningGateway) -> None:
    with small.http("") as http:
        assert http.get("/livez").json() == {"status": "ok"}
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"postgres": "ok", "redis": "ok", "store": "ok"})


def test_a_gateway_whose_tables_are_older_is_not_ready_and_does_not_start(small: RunningGateway) -> None:
    cluster = small.cluster
    with psycopg.connect(cluster.settings.database_url, autocommit=True) as conn, small.http("") as http:
        [(newest,)] = conn.execute("SELECT version_num FROM alembic_version")
        older = f"{int(newest) - 1:04}"
        conn.execute("UPDATE alembic_version SET version_num = %s", [older])
        try:
            said = f"the tables are at revision {older}, and this release needs {newest}; run `longshore migrate`"
            ready = http.get("/readyz")
            assert (ready.status_code, ready.json()["postgres"]) == (503, said)
            with pytest.raises(AssertionError, match=said), running_gateway(cluster):
                pass
            # A newer release has all that this one needs.
            conn.execute("UPDATE alembic_version SET version_num = %s", [f"{int(newest) + 1:04}"])
            assert http.get("/readyz").status_code == 200
        finally:
            conn.execute("UPDATE alembic_version SET version_num = %s", [newest])


def test_long_bodies_are_refused_while_they_are_read(small: RunningGateway) -> None:
    token = small.token()
    for send in (
        # Declared: refused without a byte of it.
        head(token, "Content-Length: 100000000"),
        # Without a length.
        head(token, "Transfer-Encoding: chunked") + b"800\r\n" + b"x" * 0x800 + b"\r\n",
    ):
        with raw(small) as connection:
            connection.sendall(send)
            answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert b"longer than 1000 bytes" in answer
        assert b"connection: close" in answer.lower()
    with small.http(token) as http:
        assert http.post("/v1/unknown", json={"a": "x" * 2000}).status_code == 413
        # Uploads have a limit of their own.
        assert http.post("/v1/unknown", files={"file": b"x" * 2000}).status_code == 404
        # A form has 64 KiB besides its file.
        assert http.post("/v1/unknown", files={"file": b"x" * 80_000}).status_code == 413


def test_without_a_token_no_body_is_read(small: RunningGateway) -> None:
    with raw(small) as connection:
        connection.sendall(head("lsk_no", "Content-Length: 900"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.fixture
def impatient(cluster: Cluster) -> Iterator[RunningGateway]:
    with running_gateway(cluster, SLOW) as gateway:
        yield gateway


def test_slow_and_wrong_requests_are_cut(impatient: RunningGateway) -> None:
    token = impatient.token()
    for send, status in (
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"408"),
        (head(token, "Content-Length: 900") + b"{", b"408"),
        (b"GET /livez HTTP/1.1\r\nX: " + b"a" * 200_000, b"431"),
        (b"GET /livez HTTP/1.1\r\n" + b"X: a\r\n" * 40_000, b"431"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"400"),
    ):
        with raw(impatient) as connection:
            connection.sendall(send)
            answer = everything(connection)
            assert answer.startswith(b"HTTP/1.1 " + status), (send[:60], answer)
            assert b"application/problem+json" in answer
    with raw(impatient) as connection:  # nothing at all
        assert everything(connection) == b""


def test_a_connection_queues_a_number_of_requests(small: RunningGateway) -> None:
    request, closing = (
        f"GET /livez HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode() for more in ("", "Connection: close\r\n")
    )
    with raw(small) as connection:
        connection.sendall(request * 80 + closing)
        assert everything(connection).count(b"HTTP/1.1 200") == 81
    with raw(small) as connection:
        connection.sendall(request * 1000 + closing)
        answered = b""
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answered += chunk
        assert answered.count(b"HTTP/1.1 200") < 1000


def test_one_token_cannot_take_all_slots_and_is_served_again_when_some_are_free(small: RunningGateway) -> None:
    token = small.token()
    with raw(small) as first, raw(small) as second, small.http(token) as http:
        for connection in (first, second):
            connection.sendall(head(token, "Content-Length: 900", "Expect: 100-continue"))
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # it has a slot, and reads the body
        refused = http.get(UNKNOWN)
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert int(refused.headers["retry-after"]) > 0
        assert http.get("/livez").status_code == 200
        with small.http(producer="others") as other:
            assert other.get(UNKNOWN).status_code == 404, "the last slot is for those who hold none"
        # Both are aborted.
    with small.http(token) as http:
        wait_until(lambda: http.get(UNKNOWN).status_code == 404, "a free slot")


def test_those_who_follow_jobs_take_no_slots(small: RunningGateway) -> None:
    job = small.cluster.ledger.submissions.submit([new_job(1, queue="gpu", producer="search-team")])[0]
    with small.http() as http, ExitStack() as streams:
        for _ in range(6):  # more than there are slots and places in the queue
            answer = streams.enter_context(http.stream("GET", f"/v1/jobs/{job}/events"))
            assert answer.status_code == 200
            assert next(answer.iter_lines()).startswith("id: ")
        assert http.get(f"/v1/jobs/{job}").json()["state"] == "queued"


def test_an_aborted_upload_leaves_nothing(small: RunningGateway) -> None:
    token = small.token("uploaders")
    form = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf of it'
    )
    lines = ["POST /v1/files HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", "Content-Length: 4000"]
    lines += ["Content-Type: multipart/form-data; boundary=b", "Expect: 100-continue", "", ""]
    with small.http(token) as http:
        for _ in range(4):  # more than there are slots
            with raw(small) as connection:
                connection.sendall("\r\n".join(lines).encode())
                assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
                connection.sendall(form)
            wait_until(lambda: http.get("/v1/files").status_code == 200, "a free slot")
        assert http.get("/v1/files").json()["data"] == []
    assert "Traceback" not in small.log_text()


def test_forms_of_bodies(small: RunningGateway) -> None:
    with small.http() as http:
        packed = http.get(UNKNOWN, headers={"Accept": "application/msgpack"})
        assert packed.headers["content-type"] == "application/msgpack"
        assert msgpack.unpackb(packed.content)["code"] == "unknown_job"
        assert http.get(UNKNOWN, headers={"Accept": "image/png"}).status_code == 406
        deep = b"[" * 400 + b"]" * 400
        for content, status, said in (
            (b'{"a": 1, "a": 2}', 400, "twice"),
            (b'{"a": NaN}', 400, "JSON"),
            (b'{"a": 1e999}', 400, "too large"),
            (b'"\\ud800"', 400, "JSON"),
            (b"\xff", 400, "JSON"),
            (deep, 400, "recursion"),
        ):
            answer = http.post("/v1/unknown", content=content, headers={"Content-Type": "application/json"})
            assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
        for document in ({"a": float("nan")}, msgpack.Timestamp(1)):
            answer = http.post(
                "/v1/unknown", content=msgpack.packb(document), headers={"Content-Type": "application/msgpack"}
            )
            assert answer.status_code == 400
        assert http.post("/v1/unknown", content=b"a=b", headers={"Content-Type": "text/x"}).status_code == 415


def test_only_pages_of_the_allowed_origins_may_call(small: RunningGateway, gateway: RunningGateway) -> None:
    for running, allowed in ((small, True), (gateway, False)):
        with running.http("") as http:
            asked = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
            assert ("access-control-allow-origin" in http.options("/v1/jobs", headers=asked).headers) == allowed
            refused = http.get(UNKNOWN, headers={"Origin": "https://app.example.org"})
            assert ("access-control-allow-origin" in refused.headers) == allowed
    with small.http("") as http:
        evil = {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "POST"}
        assert "access-control-allow-origin" not in http.options("/v1/jobs", headers=evil).headers


def test_the_access_log_has_no_secrets(small: RunningGateway) -> None:
    token = small.token()
    with small.http(token) as http:
        answer = http.get(UNKNOWN, params={"q": "secret-of-a-query"})
    request = answer.headers["x-request-id"]

    def lines() -> list[dict[str, object]]:
        events = [json.loads(line) for line in small.log_text().splitlines() if line.startswith("{")]
        return [event for event in events if event.get("request") == request]

    wait_until(lines, "the line of the request")
    (event,) = lines()
    assert (event["method"], event["path"], event["status"]) == ("GET", UNKNOWN, 422)  # no such parameter
    assert (event["token"], event["producer"]) == (token.split("_")[1], "search-team")
    assert event["sent"] == len(answer.content)
    assert token.split("_")[2] not in small.log_text()
    assert "secret-of-a-query" not in small.log_text()


def test_sigterm_finishes_requests_and_a_second_one_ends_at_once(cluster: Cluster) -> None:
    with running_gateway(cluster) as gateway:
        token = gateway.token()
        with raw(gateway) as connection, raw(gateway) as idle:
            connection.sendall(head(token, "Content-Length: 2", "Expect: 100-continue"))
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
            gateway.process.send_signal(signal.SIGTERM)
            assert everything(idle) == b""  # ended at once
            connection.sendall(b"{}")
            answer = everything(connection).lower()
        assert answer.startswith(b"http/1.1 404 ")
        assert b"connection: close" in answer
        assert gateway.process.wait(TIMEOUT_S) == 0
    with running_gateway(cluster, {"LONGSHORE_GATEWAY_SHUTDOWN_S": "600"}) as gateway, raw(gateway) as connection:
        connection.sendall(head(gateway.token(), "Content-Length: 2", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        gateway.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Shutting down" in gateway.log_text() or not _listens(gateway), "the stop")
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(TIMEOUT_S) == 128 + signal.SIGTERM


def test_what_is_late_at_the_end_is_answered(cluster: Cluster) -> None:
    with running_gateway(cluster, {"LONGSHORE_GATEWAY_SHUTDOWN_S": "3"}) as gateway, raw(gateway) as connection:
        connection.sendall(head(gateway.token(), "Content-Length: 2", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        gateway.process.send_signal(signal.SIGTERM)
        answer = everything(connection).lower()
        assert answer.startswith(b"http/1.1 503 ")
        assert b"retry-after: 1" in answer
        assert gateway.process.wait(TIMEOUT_S) == 0


def test_tls(cluster: Cluster, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    files = {
        "LONGSHORE_GATEWAY_TLS_CERTIFICATE": str(tmp_path / "server.pem"),
        "LONGSHORE_GATEWAY_TLS_KEY": str(tmp_path / "server.key"),
    }
    with running_gateway(cluster, files, scheme="https") as gateway:
        old = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        assert httpx.get(f"{gateway.url}/livez", verify=old, timeout=TIMEOUT_S).json() == {"status": "ok"}
        write_certificates(tmp_path)
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the certificate was read again" in gateway.log_text(), "the new certificate")
        new = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        assert httpx.get(f"{gateway.url}/livez", verify=new, timeout=TIMEOUT_S).json() == {"status": "ok"}
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{gateway.url}/livez", verify=old)


def test_a_gateway_that_cannot_serve_says_why(cluster: Cluster) -> None:
    for variable, value in (("LONGSHORE_GATEWAY_MAX_REQUESTS", "many"), ("LONGSHORE_GATEWAY_TLS_KEY", "/none")):
        with pytest.raises(AssertionError, match=f"{variable}: "), running_gateway(cluster, {variable: value}):
            pass


def _listens(gateway: RunningGateway) -> bool:
    try:
        with raw(gateway):
            return True
    except OSError:
        return False
