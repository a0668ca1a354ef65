"""Workers that are told to obey commands over Redis."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from longshore.broker.app import make_app
from longshore.producers.cli.checks.check import Level
from longshore.producers.cli.checks.remote_control import check_remote_control
from tests.integration.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def worker_environment() -> Mapping[str, str]:
    return {"LONGSHORE_REMOTE_CONTROL": "all"}


def test_a_worker_obeys_if_it_is_told_to_and_doctor_names_it(cluster: Cluster) -> None:
    [name] = [each.name for each in cluster.ledger.workers.workers()]

    def is_named() -> bool:
        check = check_remote_control(cluster.settings)
        return check.level is Level.WARN and name in check.detail

    wait_until(is_named, "the worker's answer")
    pids = cluster.worker_pids()
    app = make_app(cluster.settings)
    app.control.broadcast("shutdown")
    app.close()
    wait_until(lambda: cluster.worker_pids() != pids, "the end of the worker")
