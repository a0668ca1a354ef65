"""Lists on a terminal and in a pipe, the start of ids, several ids at once, and completion in the shell."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.producers import Client, Job
from tests.integration.cluster import Cluster
from tests.integration.command_line import PROGRAM, CommandLine
from tests.terminal import on_a_terminal, without_escapes
from tests.waiting import TIMEOUT_S

ROWS = {"pixels": [[0.0] * 64, [1.0] * 64]}


@pytest.fixture(scope="module")
def longshore(cluster: Cluster) -> CommandLine:
    return CommandLine(cluster.environment)


@pytest.fixture(scope="module")
def jobs(cluster: Cluster, client: Client, digits_version: None) -> list[Job]:
    """Three jobs that have succeeded."""
    jobs = [client.infer("digits", ROWS) for _ in range(3)]
    client.wait(jobs, TIMEOUT_S)
    return jobs


@pytest.fixture
def waiting(client: Client, jobs: list[Job]) -> Iterator[list[Job]]:
    """Two jobs that no worker takes."""
    waiting = [client.infer("digits", ROWS, device="gpu") for _ in range(2)]
    yield waiting
    for job in waiting:
        job.cancel()


def test_ids_are_short_on_a_terminal_and_whole_in_a_pipe(
    cluster: Cluster, longshore: CommandLine, jobs: list[Job]
) -> None:
    arguments = ("jobs", "list", "--kind", "infer", "--state", "succeeded")
    piped = [line.split()[0] for line in longshore(*arguments).out.splitlines()[1:]]
    assert piped == [str(job.id) for job in reversed(jobs)]
    for columns in (60, 80, 120):
        lines = without_escapes(on_a_terminal([*PROGRAM, *arguments], cluster.environment, columns)).splitlines()
        shown = [line.split()[0] for line in lines[1:]]
        assert all(whole.startswith(short) and len(short) < 36 for whole, short in zip(piped, shown, strict=True))
        assert max(map(len, lines)) <= columns
        assert [longshore("jobs", "show", short, "--json").fields["id"] for short in shown[:1]] == piped[:1]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_status_fits(cluster: Cluster, longshore: CommandLine, jobs: list[Job], columns: int) -> None:
    shown = without_escapes(on_a_terminal([*PROGRAM, "status"], cluster.environment, columns))
    tables = shown[shown.index("WORKER") :]
    assert max(map(len, tables.splitlines())) <= columns
    assert "cpu:0@" in tables
    assert "idle" in tables


def test_pages_and_columns(longshore: CommandLine, jobs: list[Job]) -> None:
    arguments = (
        "jobs",
        "list",
        "--model",
        "digits:1",
        "--kind",
        "infer",
        "--state",
        "succeeded",
        "--columns",
        "id,state",
    )
    first = longshore(*arguments, "--limit", "2")
    assert first.out.splitlines() == ["ID                                    STATE", *(
        f"{job.id}  succeeded" for job in (jobs[2], jobs[1])
    )]  # fmt: skip
    assert first.err.startswith(f"there are more: --before {jobs[1].id} lists the next ones")
    second = longshore(*arguments, "--limit", "2", "--before", str(jobs[1].id))
    assert second.out.splitlines()[1:] == [f"{jobs[0].id}  succeeded"]
    assert second.err == ""
    oldest_first = longshore(*arguments, "--sort", "id").out.splitlines()[1:]
    assert oldest_first == [f"{job.id}  succeeded" for job in jobs]
    sorted_page = longshore(*arguments, "--sort", "id", "--limit", "2")
    assert sorted_page.out.splitlines()[1:] == oldest_first[:2]
    assert sorted_page.err.startswith(f"there are more: --after {jobs[1].id} lists the next ones")
    rest = longshore(*arguments, "--sort", "id", "--limit", "2", "--after", str(jobs[1].id))
    assert (rest.out.splitlines()[1:], rest.err) == (oldest_first[2:], "")
    assert "the newest jobs go on with --before" in longshore(*arguments, "--after", str(jobs[1].id)).err
    assert longshore("jobs", "list", "--producer", "nobody").err == "no jobs\n"


def test_the_column_by_which_a_list_is_sorted_is_shown(cluster: Cluster, jobs: list[Job]) -> None:
    command = [*PROGRAM, "jobs", "list", "--sort=-submitted"]
    lines = without_escapes(on_a_terminal(command, cluster.environment, 60)).splitlines()
    assert "SUBMITTED" in lines[0].split()
    assert max(map(len, lines)) <= 60


def test_last_is_the_newest_job_of_this_producer(
    cluster: Cluster, longshore: CommandLine, client: Client, jobs: list[Job], tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"pixels": [0.0] * 64}) + "\n")
    mine = longshore("infer", "digits", path).out.strip()
    client.infer("digits", ROWS).wait(TIMEOUT_S)
    assert longshore("jobs", "wait", "@last", "--json").fields["id"] == mine
    listed = longshore("jobs", "list", "--mine", "--limit", "1", "--json").document
    assert isinstance(listed, list)
    assert [job["id"] for job in listed] == [mine]
    other = CommandLine({**cluster.environment, "LONGSHORE_PRODUCER": "somebody@else"})
    refused = other("jobs", "show", "@last")
    assert (refused.code, "somebody@else has submitted no job" in refused.err) == (2, True)


def test_several_jobs_are_cancelled_retried_and_waited_for(longshore: CommandLine, waiting: list[Job]) -> None:
    one, other = (str(job.id) for job in waiting)
    assert longshore("jobs", "cancel", one, other, one).out == f"{one} cancelled\n{other} cancelled\n"
    assert longshore("jobs", "retry", one, other).out == f"{one}\n{other}\n"
    partly = longshore("jobs", "cancel", one, "--json")
    assert partly.fields == {"id": one, "cancelled": True, "state": "cancelled"}
    refused = longshore("jobs", "retry", one, other)
    assert (refused.code, refused.out) == (2, f"{one}\n")
    assert "1 of 2 jobs could not be retried:\n" in refused.err
    assert f"{other} is queued; only a failed or cancelled job can be retried" in refused.err
    both = longshore("jobs", "cancel", one, other, "--json").document
    assert both == [{"id": id_, "cancelled": True, "state": "cancelled"} for id_ in (one, other)]
    nothing = longshore("jobs", "cancel", one, "01890a5d-ac96-774b-bcce-b302099a8057")
    assert (nothing.code, nothing.out) == (2, "")


def test_waiting_for_several(longshore: CommandLine, jobs: list[Job], waiting: list[Job]) -> None:
    done = longshore("jobs", "wait", *(str(job.id) for job in jobs))
    assert done.code == 0
    assert sorted(line.partition("  ")[0] for line in done.out.splitlines()) == sorted(str(job.id) for job in jobs)
    assert "infer digits:1 succeeded after" in done.out
    late = longshore("jobs", "wait", str(jobs[0].id), str(waiting[0].id), "--timeout", "0.1")
    assert (late.code, late.out.count("\n")) == (1, 1)
    waiting[0].cancel()
    failed = longshore("jobs", "wait", str(jobs[0].id), str(waiting[0].id), "--json")
    assert failed.code == 1
    assert (
        f"1 of 2 jobs did not succeed; longshore jobs show has the reason:\n  {waiting[0].id} cancelled\n" in failed.err
    )


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("jobs li", ["list"]),
        ("jobs list --col", ["--columns"]),
        ("jobs show @", ["@last"]),
        ("models show dig", ["digits"]),
        ("models show digits:", ["digits:1"]),
        ("infer dig", ["digits"]),
        ("jobs list --state fa", ["failed"]),
    ],
)
def test_words_are_completed(cluster: Cluster, jobs: list[Job], words: str, offered: list[str]) -> None:
    assert completed(cluster, words) == offered


def test_ids_are_completed(cluster: Cluster, longshore: CommandLine, jobs: list[Job]) -> None:
    values = completed(cluster, f"jobs show {str(jobs[2].id)[:8]}")
    assert any(str(jobs[2].id).startswith(value) for value in values)
    assert longshore("jobs", "show", values[0], "--json").code == 0


def completed(cluster: Cluster, words: str) -> list[str]:
    """What bash offers for the last word."""
    script = {"_LONGSHORE_COMPLETE": "bash_complete", "COMP_WORDS": f"longshore {words}"}
    done = subprocess.run(
        PROGRAM,
        env={**os.environ, **cluster.environment, **script, "COMP_CWORD": str(len(words.split()))},
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_nothing_is_completed_without_a_cluster(cluster: Cluster) -> None:
    nowhere = {**cluster.environment, "LONGSHORE_DATABASE_URL": "postgresql://me@127.0.0.1:1/x"}
    done = subprocess.run(
        PROGRAM,
        env={
            **nowhere,
            "_LONGSHORE_COMPLETE": "bash_complete",
            "COMP_WORDS": "longshore models show x",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(longshore: CommandLine, shell: str) -> None:
    done = longshore("completion", shell)
    assert done.code == 0
    assert f"_LONGSHORE_COMPLETE={shell}_complete" in done.out
