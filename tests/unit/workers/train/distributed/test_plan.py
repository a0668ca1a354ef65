"""How a worker runs a training on several devices."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.train import TrainSpec
from longshore.workers.process.draining import HandBack
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.train.distributed.launch_spec import LaunchSpec, read_launch_spec, write_launch_spec
from longshore.workers.train.distributed.run import plan_launch

SPEC = TrainSpec.model_validate(
    {"model": "m", "family": "mlp", "data": {"uri": "/", "format": "csv"}, "target": "y", "devices": 2}
)


def claim(queue: str = "gpu") -> Claim:
    return Claim(
        job_id=UUID(int=1),
        shard=0,
        attempt=1,
        attempt_limit=3,
        action="train",
        start=0,
        stop=9,
        offset=None,
        length=None,
        kind="train",
        spec=SPEC.model_dump(mode="json"),
        model="m",
        version=None,
        digest=None,
        rows_per_shard=None,
        max_attempts=3,
        producer="tests",
        queue=queue,
        priority=4,
    )


def planned(worker: WorkerSettings, queue: str = "gpu", most: int | None = None) -> LaunchSpec:
    return plan_launch(claim(queue), SPEC, worker, lambda: most)


def gpus(count: int) -> WorkerSettings:
    return WorkerSettings(name="gpu@tests", device="cuda:0", threads=8, devices=count)


@pytest.mark.parametrize(("threads", "each"), [(1, 1), (5, 2), (8, 4)])
def test_on_cpus_threads_are_shared_out(threads: int, each: int) -> None:
    launch = planned(WorkerSettings(name="cpu@tests", device="cpu", threads=threads), "cpu")
    assert (launch.device, launch.devices, launch.threads) == ("cpu", 2, each)


def test_gpus_are_taken_where_there_are_enough() -> None:
    assert (planned(gpus(3)).device, planned(gpus(3)).devices) == ("cuda", 2)
    # What asks for CPUs can run on them here, too.
    assert planned(gpus(1), "cpu").device == "cpu"


def test_a_worker_with_too_few_leaves_the_job_to_another_that_has_enough() -> None:
    with pytest.raises(HandBack):
        planned(gpus(1), most=2)
    for most in (1, None):
        with pytest.raises(InvalidInput, match=r"^devices: 2: gpu@tests, which took the job, has one GPU") as error:
            planned(gpus(1), most=most)
        assert "longshore worker --devices cuda:0+cuda:1" in error.value.reason


def test_an_order_is_read_as_it_was_written(tmp_path: Path) -> None:
    launch = plan_launch(claim(), SPEC, gpus(2), lambda: None, tmp_path / "state", "epoch 3, step 120")
    write_launch_spec(launch, tmp_path)
    assert read_launch_spec(tmp_path) == launch
