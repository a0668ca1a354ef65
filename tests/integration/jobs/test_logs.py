"""What attempts log and print reaches the owner of the job, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from longshore.producers import Client, Infer, Job
from longshore.producers.logs import LogLine
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.shards.logs import MAX_HEAD_CHARS, MAX_PART_CHARS, MAX_TAIL_CHARS
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.integration.jobs.hostile import Deed, hostile_client, infer, install
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worker_environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return {
        "PYTHONPATH": install(tmp_path_factory.mktemp("installed")),
        "LONGSHORE_LEASE": "12",
        "LONGSHORE_LOG_FORMAT": "json",
    }


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with hostile_client(cluster) as client:
        yield client


def lines_with(job: Job, text: str) -> list[LogLine]:
    return [line for line in job.logs() if text in line.text]


def wait_for_line(job: Job, text: str) -> LogLine:
    """The last line may be written a moment after the end of the job."""
    wait_until(lambda: lines_with(job, text), f"the line {text!r}")
    return lines_with(job, text)[0]


def test_a_training_says_what_it_did(client: Client, cluster: Cluster) -> None:
    rows = [{"x": float(number), "y": number % 2} for number in range(40)]
    job = client.train("talk", "linear", rows, "y", epochs=3, batch_size=8).wait(TIMEOUT_S)
    wait_for_line(job, "done ")
    start, *middle, end = [line for line in job.logs() if line.level == "INFO"]
    worker = cluster.ledger.workers.workers()[0].name
    for part in ("train talk", "epochs 0 to 3", "batch size 8", "attempt 1 of ", worker):
        assert part in start.text
    epochs = [line.text for line in middle if line.text.startswith("epoch ")]
    assert [text.split(":")[0] for text in epochs] == ["epoch 1", "epoch 2", "epoch 3"]
    assert "train_loss" in epochs[0]
    assert f"done {job.id}/0/1: train talk, 3 epochs in " in end.text
    assert (end.shard, end.attempt) == (0, 1)


def test_the_middle_of_a_long_log_is_left_out_and_secrets_are_replaced(client: Client) -> None:
    job = infer(client, Deed.PRINT).wait(TIMEOUT_S)
    wait_for_line(job, "done ")
    lines = list(job.logs())
    printed = [line.text for line in lines if line.level == "OUT"]
    assert printed[0] == "the first line, from postgresql://***@host/name"
    assert printed[1] == "line 0 of many that say nothing new"
    assert printed[-1] == "line 19999 of many that say nothing new"
    assert [line.text for line in lines if line.level == "ERR"] == ["the last line"]
    (gap,) = [line for line in lines if line.time is None]
    assert gap.text.endswith(" characters left out ...")
    assert sum(len(str(line)) for line in lines) < MAX_HEAD_CHARS + MAX_TAIL_CHARS + 2 * MAX_PART_CHARS
    assert "hunter2" not in "".join(map(str, lines))


def test_a_worker_that_broke_off_leaves_its_last_lines(client: Client) -> None:
    job = infer(client, Deed.EXIT, max_attempts=1)
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    end = wait_for_line(job, "broke off")
    assert end.level == "ERROR"
    assert "its process ended with status 7" in end.text
    assert f"deed {Deed.EXIT:d} at https://***@example.org" in end.text


def test_a_running_job_is_followed_until_it_ends(client: Client) -> None:
    rows = [{"x": float(Deed.SLOW)}] * 200
    job = client.infer("hostile", rows, batch_size=1, rows_per_shard=200)
    texts = []
    for line in job.logs(follow=True):
        texts.append(line.text)
        if len([text for text in texts if text.startswith("deed ")]) == 3:
            assert job.state is State.RUNNING
            job.cancel()
    assert texts[0].startswith("start ")
    assert job.state is State.CANCELLED
    wait_for_line(job, "stopped: ")


def test_one_attempt_is_chosen(client: Client) -> None:
    job = infer(client, Deed.EXIT, max_attempts=2)
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    wait_until(lambda: any("broke off" in line.text for line in job.logs(attempt=2)), "the end of the second")
    assert {line.attempt for line in job.logs()} == {1, 2}
    assert {line.attempt for line in job.logs(shard=0, attempt=2)} == {2}
    assert list(job.logs(shard=1)) == []
    with pytest.raises(InvalidInput, match="attempt"):
        job.logs(attempt=0)
    with pytest.raises(InvalidInput, match="shard"):
        job.logs(shard=-1)


def test_a_failed_attempt_has_its_traceback(client: Client) -> None:
    job = infer(client, Deed.CALL_EXIT, max_attempts=1)
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    assert wait_for_line(job, "SystemExit: 9").level == "WARNING"


def test_rows_with_errors_are_counted(client: Client) -> None:
    job = client.infer("hostile", [{"x": 0.5}, {"x": float("nan")}, {"x": float("nan")}], max_row_errors=2)
    job.wait(TIMEOUT_S)
    assert wait_for_line(job, "rows with errors: 2; the first is row 1: ").level == "INFO"


def test_small_jobs_that_run_well_keep_no_log(client: Client, cluster: Cluster) -> None:
    infer(client, 0.5).wait(TIMEOUT_S)  # the model is loaded
    jobs = client.submit_many([Infer("hostile", [{"x": 0.5}]) for _ in range(30)])
    client.wait(jobs, TIMEOUT_S)
    # A log of an attempt that ended later is written later: those before are written by now.
    last = infer(client, Deed.PRINT).wait(TIMEOUT_S)
    wait_for_line(last, "done ")
    assert [list(job.logs()) for job in jobs] == [[]] * 30


def test_the_log_of_the_workers_is_json(client: Client, cluster: Cluster) -> None:
    job = infer(client, Deed.PRINT).wait(TIMEOUT_S)

    def events() -> list[dict[str, object]]:
        found = (line for line in cluster.log("workers").splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, found) if event.get("job") == str(job.id)]

    wait_until(lambda: len(events()) == 2, "the two lines of the run")
    start, done = events()
    assert start["level"] == "info"
    assert str(start["message"]).startswith("start ")
    assert (done["model"], done["action"], done["rows"]) == ("hostile:1", "infer", 1)
    assert isinstance(done["seconds"], float)


def test_the_command_prints_a_log(client: Client, cluster: Cluster) -> None:
    command_line = CommandLine(cluster.environment)
    job = infer(client, Deed.EXIT, max_attempts=1)
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    wait_for_line(job, "broke off")
    assert "ERROR   the worker's process broke off" in command_line("jobs", "logs", str(job.id), "--follow").out
    document = command_line("jobs", "logs", str(job.id), "--json").document
    assert isinstance(document, list)
    assert document[-1]["level"] == "ERROR"
    infer(client, 0.5).wait(TIMEOUT_S)  # the model is loaded: what takes longer than a second keeps its log
    small = infer(client, 0.5).wait(TIMEOUT_S)
    answer = command_line("jobs", "logs", str(small.id))
    assert (answer.code, answer.out) == (0, "")
    assert "keep no log" in answer.err
