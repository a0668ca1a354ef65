"""``--devices cpu:2``: two workers share the cores and the work."""

from __future__ import annotations

import os
import re
import sys

import numpy as np
import psutil
import pytest

from longshore.producers import Infer
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def devices() -> str:
    return "cpu:2"


def test_each_worker_is_pinned_to_cores_of_its_own(cluster: Cluster) -> None:
    shares = [set(psutil.Process(pid).cpu_affinity() or ()) for pid in cluster.child_pids()]
    assert len(shares) == 2
    assert not shares[0] & shares[1]
    assert shares[0] | shares[1] == os.sched_getaffinity(0)
    assert {worker.device for worker in cluster.ledger.workers.workers()} == {"cpu:0", "cpu:1"}


def test_both_work_on_one_job_and_no_row_is_lost_or_doubled(cluster: Cluster) -> None:
    images, labels = digits.digits()
    with cluster.client() as client:
        client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(120)
        rows = np.tile(images, (8, 1))
        job = client.infer("digits", rows, rows_per_shard=len(images), batch_size=1).wait(120)
        assert len({shard.worker for shard in job.shards()}) == 2
        table = job.results()
        assert table["row"].to_pylist() == list(range(len(rows)))
        found = table["label"].to_numpy().reshape(8, -1)
        assert (found == found[0]).all()
        small = client.submit_many([Infer("digits", images[:1])] * 600)
        client.wait(small, 120)
        assert {each.results().num_rows for each in small[::50]} == {1}


def test_workers_of_another_supervisor_on_this_host_have_names_of_their_own(cluster: Cluster) -> None:
    def names() -> set[str]:
        return {worker.name for worker in cluster.ledger.workers.workers() if worker.alive}

    own = names()
    with cluster.other_workers([sys.executable, "-m", "longshore.workers.process.supervisor", "--devices", "cpu"]):
        wait_until(lambda: len(names()) == 3, "the third worker")
        (other,) = names() - own
        # The first number that no other supervisor here has taken, those of other clusters of this database included.
        assert re.match(r"cpu:0\.\d+@", other)
    assert names() == own
