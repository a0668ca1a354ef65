"""The HTTP gateway beside a cluster, as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from longshore.broker.embedded.services.ports import any_free_port
from longshore.shared.ledger.gateway.tokens import AccessLimits, Scope
from longshore.shared.ledger.roles.rights import Role
from tests.integration.cluster import STOP, Cluster
from tests.integration.logins import as_role
from tests.waiting import TIMEOUT_S, wait_until


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that answers."""

    cluster: Cluster
    url: str
    process: subprocess.Popen[bytes] = field(repr=False)
    log: Path

    def log_text(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def token(
        self,
        producer: str = "search-team",
        scopes: Sequence[str] = tuple(Scope),
        models: Sequence[str] = (),
        limits: AccessLimits | None = None,
    ) -> str:
        """A new token."""
        tokens = self.cluster.ledger.tokens
        return tokens.create(producer, scopes, models=models, limits=limits, created_by="tests").text

    def http(self, token: str | None = None, *, producer: str = "search-team") -> httpx.Client:
        """A connection to it; to be closed by who asked for it.

        :param token: ``None`` for a new one of ``producer`` with all scopes; empty for none.
        """
        token = self.token(producer) if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)


@contextmanager
def running_gateway(
    cluster: Cluster,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    *,
    scheme: str = "http",
    port: int | None = None,
) -> Iterator[RunningGateway]:
    """A gateway of a cluster, with the login of its role. It is stopped by SIGTERM at the end, if it still runs.

    :param environment: more variables of its process.
    :param arguments: more arguments of its command line.
    :param port: where it listens. Default: one that is free.
    :param scheme: ``https`` if the environment has a certificate, which is not checked here.
    """
    port = port or any_free_port()
    database_url = as_role(cluster.settings, Role.GATEWAY).database_url
    own = {"LONGSHORE_DATABASE_URL": database_url, "LONGSHORE_GATEWAY_DATA": "/"}
    command = [sys.executable, "-m", "longshore.producers.gateway", "--port", str(port), *arguments]
    log_file = cluster.folder / f"gateway-{port}.log"
    with log_file.open("ab+") as log:
        process = subprocess.Popen(
            command,
            env={**cluster.environment, **own, **(environment or {})},
            cwd=cluster.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        url = f"{scheme}://127.0.0.1:{port}"

        try:
            wait_until(lambda: process.poll() is not None or _answers(url), "the start of the gateway")
            assert process.poll() is None, log_file.read_text()
            yield RunningGateway(cluster, url, process, log_file)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                said = log_file.read_text()
                raise AssertionError(f"the gateway did not stop in {STOP:g} s:\n{said}") from None


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=5, verify=False).is_success
    except httpx.HTTPError:
        return False
