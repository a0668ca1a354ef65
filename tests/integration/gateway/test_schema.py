"""The OpenAPI document against the gateway: schemathesis makes requests from it, and checks every answer.

``make fuzz`` makes more of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.compose_file import ROOT
from tests.fuzz.running import SCALE_VARIABLE, input_count
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import running_gateway

#: Requests that are made for each operation, and sequences of requests.
USUAL = 1
SEED = "1"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("digits_version")
def test_no_request_fails_the_gateway_or_surprises_its_document(cluster: Cluster, tmp_path: Path) -> None:
    folder = ROOT / "tests" / "integration" / "gateway" / "schema"
    # Whatever addresses of data are made up, none is read.
    with running_gateway(cluster, {"LONGSHORE_DATA_ROOTS": str(tmp_path)}) as gateway:
        phases = "fuzzing,stateful" if os.environ.get(SCALE_VARIABLE, "1") == "1" else "coverage,fuzzing,stateful"
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml")),
            *("run", f"{gateway.url}/openapi.json", "-H", f"Authorization: Bearer {gateway.token()}"),
            *("--phases", phases, "-n", str(input_count(USUAL)), "--seed", SEED, "--continue-on-failure"),
            *("--request-timeout", "60", "--no-color", "--generation-database", "none"),
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.integration.gateway.schema.hooks"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
        assert "Traceback" not in gateway.log_text()


def test_every_operation_is_described(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            assert operation["summary"], name
            assert operation["description"], name
            if path.startswith("/v1/"):
                assert operation["security"], name
                assert {"401", "403", "422", "429", "503"} <= set(operation["responses"]), name
                assert "HTTPValidationError" not in str(operation), name
    # Examples are of paths that there are.
    from longshore.producers.gateway.serving.examples import EXAMPLES

    described = {f"{method.upper()} {path}" for path, all in document["paths"].items() for method in all}
    assert set(EXAMPLES) <= described
