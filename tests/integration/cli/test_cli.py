"""``longshore`` from the first training to the last deletion, against a running cluster."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from longshore.shared.settings import Settings
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine, read_until, stop, without_settings
from tests.waiting import TIMEOUT_S

#: Enough for its results not to fit into a pipe.
ROWS = 4000


@pytest.fixture(scope="module")
def longshore(cluster: Cluster) -> CommandLine:
    return CommandLine(cluster.environment)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.write(tmp_path_factory.mktemp("data") / "digits.parquet", ROWS)


@pytest.fixture(scope="module")
def trained(longshore: CommandLine, data: Path) -> str:
    """A training job that made digits:1."""
    done = longshore(
        "train", data, "--model", "digits", "--target", "label", "--features", "pixels", "--epochs", "2", "--set",
        "hidden=[16]", "--set", "activation=gelu", "--alias", "first", "--json", "--wait",
    )  # fmt: skip
    assert done.fields["state"] == "succeeded"
    assert done.err == f"submitted {done.fields['id']}\n"
    return str(done.fields["id"])


@pytest.fixture(scope="module")
def inferred(longshore: CommandLine, trained: str, data: Path) -> str:
    """An inference job with digits:1 that has succeeded. Its id is all that a submission writes."""
    done = longshore("infer", "digits@first", data, "--rows-per-shard", "1500", "--priority", "9")
    assert done.code == 0, done.err
    job = done.out.strip()
    assert done.err == f"submitted; to wait for it: longshore jobs wait {job}\n"
    assert longshore("jobs", "wait", job, "--timeout", "60").code == 0
    return job


@pytest.fixture
def waiting(longshore: CommandLine, trained: str, data: Path) -> Iterator[str]:
    """A job that no worker takes."""
    done = longshore("infer", "digits", data, "--device", "gpu", "--json")
    yield str(done.fields["id"])
    longshore("jobs", "cancel", str(done.fields["id"]))


def test_a_training_job_is_shown_with_its_metrics(longshore: CommandLine, trained: str) -> None:
    document = longshore("jobs", "show", trained, "--json").fields
    assert document["kind"] == "train"
    assert document["unit"] == "epochs"
    assert (document["done"], document["total"]) == (2, 2)
    assert document["errors"] == []
    metrics = document["metrics"]
    assert isinstance(metrics, list)
    assert {metric["step"] for metric in metrics} == {1, 2}
    shown = longshore("jobs", "show", trained).out
    assert ["version", "digits:1"] in [line.split() for line in shown.splitlines()]
    assert "EPOCH" in shown
    assert "\x1b" not in shown


def test_jobs_are_listed_newest_first(longshore: CommandLine, trained: str, inferred: str) -> None:
    jobs = longshore("jobs", "list", "--json", "--state", "succeeded").document
    assert isinstance(jobs, list)
    assert [job["id"] for job in jobs if job["id"] in (inferred, trained)] == [inferred, trained]
    [job] = [job for job in jobs if job["id"] == inferred]
    assert (job["priority"], job["shards_done"], job["total"]) == (9, 3, ROWS)
    assert [job["id"] for job in json.loads(longshore("jobs", "list", "--kind", "train", "--json").out)] == [trained]
    lines = longshore("jobs", "list", "--limit", "1", "--state", "succeeded").out.splitlines()
    columns = "JOB KIND MODEL STATE DONE PROGRESS LEFT TOOK FAILED SPEED TOKENS PRIORITY PRODUCER AGE"
    assert lines[0].split() == columns.split()
    assert lines[1].split()[:8] == [*f"{inferred} infer digits:1 succeeded 100% {ROWS:,} of {ROWS:,}".split()]


def test_results_in_every_format(longshore: CommandLine, inferred: str, tmp_path: Path) -> None:
    as_lines = [json.loads(line) for line in longshore("results", inferred, "--json").out.splitlines()]
    assert [row["row"] for row in as_lines] == list(range(ROWS))
    assert set(as_lines[0]) == {"row", "label", "score"}

    as_csv = list(csv.DictReader(io.StringIO(longshore("results", inferred, "--format", "csv").out)))
    assert [{key: str(value) for key, value in row.items()} for row in as_lines] == as_csv

    for name in ("out.parquet", "out.csv", "out.jsonl"):
        done = longshore("results", inferred, "-o", tmp_path / name)
        assert (done.code, done.out, done.err) == (0, "", "")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == as_lines
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == as_lines
    assert list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines())) == as_csv

    table = longshore("results", inferred)
    assert len(table.out.splitlines()) == 101
    assert table.err == f"showing 100 of {ROWS:,} rows; for all rows use --format jsonl, --format csv or -o FILE\n"
    assert len(longshore("results", inferred, "--format", "csv", "--limit", "7").out.splitlines()) == 8


def test_a_reader_who_stops_is_no_error(longshore: CommandLine, inferred: str) -> None:
    with longshore.start("results", inferred, "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["row"] == 0
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(TIMEOUT_S) == 141


def test_a_training_job_has_no_results(longshore: CommandLine, trained: str) -> None:
    done = longshore("results", trained)
    assert (done.code, done.out) == (2, "")
    assert "is a train job, which has no results" in done.err


def test_models_from_promotion_to_deletion(longshore: CommandLine, trained: str, tmp_path: Path) -> None:
    assert longshore("models", "promote", "digits:1", "production").out == "digits@production now points to digits:1\n"
    [model] = json.loads(longshore("models", "list", "--json").out)
    assert (model["name"], model["aliases"]) == ("digits", {"first": 1, "production": 1})
    assert longshore("models", "list").out.splitlines()[1].split()[:5] == [
        "digits",
        "1",
        "1",
        "first=1,",
        "production=1",
    ]

    shown = longshore("models", "show", "digits@production", "--json").fields
    assert (shown["version"], shown["aliases"], shown["job"]) == (1, ["first", "production"], trained)
    text = [line.split(maxsplit=1) for line in longshore("models", "show", "digits").out.splitlines()]
    assert ["features", "pixels (64)"] in text
    assert ["config", '{"hidden": [16], "dropout": 0.0, "activation": "gelu"}'] in text

    folder = tmp_path / "exported"
    assert longshore("models", "export", "digits", folder).out == f"exported digits:1 to {folder}\n"
    assert longshore("models", "import", folder, "--name", "copied", "--alias", "kept").out == "copied:1\n"
    assert longshore("models", "import", folder, "--name", "copied", "--json").fields["version"] == 2
    refused = longshore("models", "delete", "copied:1")
    assert refused.code == 2
    assert "copied:1 is in use: kept points at it" in refused.err
    assert longshore("models", "delete", "copied:2").out.startswith("copied:2 deleted; 0 B ")
    assert [line.split()[0] for line in longshore("models", "versions", "copied").out.splitlines()] == ["VERSION", "1"]
    shutil.rmtree(folder)


def test_waiting_for_a_job_that_does_not_end(longshore: CommandLine, waiting: str) -> None:
    late = longshore("jobs", "wait", waiting, "--timeout", "0.1")
    assert (late.code, late.out) == (1, "")
    assert late.err.startswith("longshore: ")
    assert "goes on running" in late.err

    retried = longshore("jobs", "retry", waiting)
    assert (retried.code, retried.out) == (2, "")
    assert "only a failed or cancelled job can be retried" in retried.err


def test_ctrl_c_while_waiting_leaves_the_job_alone(longshore: CommandLine, trained: str, data: Path) -> None:
    process = longshore.start("infer", "digits", data, "--device", "gpu", "--wait")
    job = read_until(process.stderr, "submitted").split()[-1]
    done = stop(process)
    assert done.code == 130
    assert done.err == (
        f"longshore: the job continues to run; to wait again: longshore jobs wait {job}; "
        f"to cancel it: longshore jobs cancel {job}\n"
    )
    assert longshore("jobs", "show", job, "--json").fields["state"] == "queued"
    cancelled = longshore("jobs", "cancel", job)
    assert cancelled.out == f"{job} cancelled\n"
    assert cancelled.err == f"it was cancelled; to run what is not done: longshore jobs retry {job}\n"
    assert longshore("jobs", "cancel", job).out == f"{job} had already ended: cancelled\n"
    failed = longshore("jobs", "wait", job, "--json")
    assert failed.code == 1
    assert json.loads(failed.out)["state"] == "cancelled"
    assert f"job {job} cancelled" in failed.err
    retried = longshore("jobs", "retry", job)
    assert retried.out == f"{job}\n"
    assert retried.err == f"queued again; to wait for it: longshore jobs wait {job}\n"
    assert longshore("jobs", "cancel", job, "--json").fields == {"id": job, "cancelled": True, "state": "cancelled"}


def test_rows_that_fail_are_told(longshore: CommandLine, trained: str, tmp_path: Path) -> None:
    row = {"pixels": [0.0] * 64}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (row, row, {"pixels": [None] * 64})))
    done = longshore("infer", "digits", path, "--wait")
    assert done.code == 1
    job = done.err.splitlines()[0].split()[-1]
    assert f"longshore: job {job} failed: 1 of 3 rows failed" in done.err
    shown = longshore("jobs", "show", job)
    assert shown.code == 0
    assert "ERROR" in shown.out
    results = longshore("results", job, "--json")
    assert len(results.out.splitlines()) == 2
    assert results.err == f"1 rows failed: longshore jobs show {job}\n"


def test_failed_rows_that_are_allowed_are_noted(longshore: CommandLine, trained: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"pixels": [value] * 64}) + "\n" for value in (0.0, 1.0, None)))
    job = longshore("infer", "digits", path, "--max-row-errors", "0.5", "--wait", "--json").fields
    assert job["state"] == "succeeded"
    assert job["notes"] == ["1 of 3 rows failed, up to 1 were allowed"]
    assert isinstance(job["rate"], float)
    assert job["remaining"] is None
    shown = longshore("jobs", "show", str(job["id"])).out
    assert "notes      1 of 3 rows failed, up to 1 were allowed\n" in shown
    assert "rows/s\n" in shown
    listed = longshore("jobs", "list", "--limit", "1").out
    assert "SPEED" in listed
    assert " rows/s" in listed
    refused = longshore("jobs", "retry", str(job["id"]))
    assert (refused.code, "only a failed or cancelled job" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("infer digits /nowhere/rows.csv", "data: cannot read /nowhere/rows.csv"),
        ("infer nothing {data}", "model: there is no model 'nothing'"),
        ("infer digits {data} --priority 10", "priority: 10"),
        ("train {data} --model digits --target none", "target: no column 'none'"),
        ("train {data} --model Digits --target label", "model: 'Digits' is not a model name"),
        ("train {data} --model digits --target label --set hiden=3", "did you mean config.hidden?"),
        ("train {data} --model digits --target label --epochs 0", "epochs: 0"),
        ("train {data} --model digits --target label --family mpl", "family: 'mpl'"),
        ("jobs show 7", "job: '7' is too short; write at least 4 characters of the id, or @last"),
        ("jobs show churn", "job: 'churn' is not a job id"),
        ("jobs list --since soon", "since: 'soon' is not a duration"),
        ("jobs list --mine --producer me", "--mine: write either --mine or --producer"),
        ("jobs wait 01890a5d-ac96-774b-bcce-b302099a8057", "b302099a8057; see longshore jobs list"),
        ("models show digits:9", "there is no digits:9"),
        ("models promote digits:1 2", "alias: '2' is not an alias"),
    ],
)
def test_bad_input_is_one_line_with_the_field(
    longshore: CommandLine, trained: str, data: Path, arguments: str, said: str
) -> None:
    done = longshore(*arguments.format(data=data).split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("longshore: ")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_status_and_doctor(longshore: CommandLine, cluster: Cluster) -> None:
    status = longshore("status", "--json").fields
    workers = status["workers"]
    assert isinstance(workers, list)
    assert [worker["alive"] for worker in workers] == [True]
    assert status["jobs"]
    text = longshore("status")
    assert "idle" in text.out
    found = longshore("doctor", "--json").fields
    assert found["ok"] is True
    told = longshore("doctor")
    assert told.code == 0
    for said in (text.out, told.out, json.dumps(status), json.dumps(found)):
        for url in (cluster.settings.redis_url, cluster.settings.database_url):
            assert url.split("@")[0].rpartition(":")[2] not in said


def test_doctor_misses_the_relay(longshore: CommandLine, cluster: Cluster) -> None:
    cluster.stop_relay()
    try:
        done = longshore("doctor", "--json")
        levels = {check["name"]: check["level"] for check in json.loads(done.out)["checks"]}
        assert done.code == 1
        assert {name for name, level in levels.items() if level == "fail"} == {"relay"}
    finally:
        cluster.start_relay()


def test_services_that_cannot_be_reached(cluster: Cluster) -> None:
    nowhere = {
        "LONGSHORE_DATABASE_URL": "postgresql://me:hush@127.0.0.1:1/x",
        "LONGSHORE_REDIS_URL": "redis://:hush@127.0.0.1:1",
    }
    longshore = CommandLine({**cluster.environment, **nowhere})
    for command in (
        ("jobs", "list"),
        ("models", "list"),
        ("status",),
        ("infer", "digits", "/etc/hosts", "--format", "csv"),
    ):
        done = longshore(*command)
        assert done.code == 3
        assert done.err.startswith("longshore: Postgres at 127.0.0.1:1 cannot be reached")
        assert done.err.count("\n") == 1
        assert "hush" not in done.out + done.err
    status = longshore("status", "--json")
    assert (status.code, status.err.count("\n")) == (3, 1)
    document = json.loads(status.out)
    assert (document["running"], document["ready"], document["postgres"]) == (True, False, "127.0.0.1:1")
    assert (document["workers"], document["jobs"]) == (None, None)
    assert document["error"] == status.err.removeprefix("longshore: ").strip()
    assert "hush" not in status.out
    doctor = longshore("doctor", "--json")
    assert doctor.code == 1
    levels = {check["name"]: check["level"] for check in json.loads(doctor.out)["checks"]}
    assert [levels[name] for name in ("redis", "postgres", "schema", "relay", "workers")] == ["fail"] * 5
    assert levels["store"] == "ok"
    assert "hush" not in doctor.out


def test_migrate_and_relay_become_the_process_without_a_password_in_its_arguments(fresh: Settings) -> None:
    longshore = CommandLine({**without_settings(), **fresh.environment()})
    assert "has no Longshore tables; run `longshore migrate`" in longshore("jobs", "list").err
    migrated = longshore("migrate")
    assert (migrated.code, migrated.out) == (0, "")
    assert longshore("jobs", "list", "--json").document == []

    with longshore.start("relay") as process:
        read_until(process.stderr, "leading")
        line = psutil.Process(process.pid).cmdline()
        done = stop(process, signal.SIGTERM)
    assert line[-2:] == ["-m", "longshore.broker.relay"]
    assert not any("://" in part for part in line)
    assert done.code == 0


def test_the_worker_refuses_devices_there_are_none_of(longshore: CommandLine) -> None:
    done = longshore("worker", "--devices", "tpu")
    assert done.code == 2
    assert "devices: 'tpu' is not understood" in done.err
