"""The command line as a process: quick, light, and clear where there is no cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import TIMEOUT_S

HEAVY = (
    "torch",
    "celery",
    "kombu",
    "pyarrow",
    "sqlalchemy",
    "pydantic",
    "numpy",
    "psycopg",
    "redis",
    "rich",
    "alembic",
)
CHECK = f"""
import sys
from longshore.producers.cli.main import run
code = run(sys.argv[1:])
sys.stderr.write(",".join(name for name in {HEAVY!r} if name in sys.modules))
sys.exit(code)
"""
#: Writes how many modules are loaded, and what the command line has slept for or connected to.
WATCH = """
import sys
waits = []
sys.addaudithook(lambda event, arguments: waits.append(event) if event in ("time.sleep", "socket.connect") else None)
from longshore.producers.cli.main import run
code = run(sys.argv[1:])
sys.stderr.write(",".join([str(len(sys.modules)), *waits]))
sys.exit(code)
"""
#: Modules that Python, click and the command line's own bring: 140, of which 95 come with click.
MAX_MODULES = 200
#: How many times the processor time of ``import click`` the command line may take: it takes 1.3.
MAX_TIMES_CLICK = 2.5


def longshore(home: Path, *arguments: str, script: str | None = None) -> subprocess.CompletedProcess[str]:
    program = ["-m", "longshore.producers.cli.main"] if script is None else ["-c", script]
    return subprocess.run(
        [sys.executable, *program, *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def environment(home: Path) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LONGSHORE_")}
    return {**inherited, "LONGSHORE_HOME": str(home)}


def processor_time(home: Path, program: list[str]) -> float:
    """Seconds that a run of Python has computed."""
    process = subprocess.Popen(
        [sys.executable, *program],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def test_without_a_cluster_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = longshore(tmp_path / "home")
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"No cluster is up in {tmp_path}/home" in done.stdout
    assert "longshore up" in done.stdout
    with_json = longshore(tmp_path / "home", "--json")
    assert json.loads(with_json.stdout) == {"running": False, "home": f"{tmp_path}/home"}


@pytest.mark.parametrize(
    "arguments",
    [
        "status", "jobs list", "jobs show 1", "results 1", "models list", "models show x", "infer m x",
        "train x --model m --target t", "relay", "migrate", "status --show-password",
    ],
)  # fmt: skip
def test_commands_that_need_a_cluster_fail_before_heavy_imports(tmp_path: Path, arguments: str) -> None:
    done = longshore(tmp_path / "home", *arguments.split(), script=CHECK)
    assert done.returncode == 3
    assert done.stdout == ""
    message, _, heavy = done.stderr.partition("\n")
    assert message.startswith(f"longshore: no cluster is up in {tmp_path}/home; start one with `longshore up`")
    assert heavy == ""


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--version",), ("jobs", "--help"), ("train", "--help")])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = longshore(tmp_path / "home", *arguments, script=CHECK)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("jobs", "list")])
def test_it_answers_quickly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    # Processor time, not the clock, in turn with the reference, and the least of several: what else the machine does is
    # not the command's.
    programs = (["-c", "import click"], ["-m", "longshore.producers.cli.main", *arguments])
    pairs = [[processor_time(tmp_path / "home", program) for program in programs] for _ in range(5)]
    reference, command = map(min, zip(*pairs, strict=True))
    assert command < MAX_TIMES_CLICK * reference


@pytest.mark.parametrize("arguments", [(), ("--help",), ("jobs", "list")])
def test_it_loads_few_modules_and_waits_for_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    modules, *waits = longshore(tmp_path / "home", *arguments, script=WATCH).stderr.splitlines()[-1].split(",")
    assert int(modules) < MAX_MODULES
    assert waits == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("jbos",), "no command 'jbos'; did you mean jobs? (see longshore --help)"),
        (
            ("jobs",),
            "list, show, why, wait, cancel, retry, extend, logs, plot, report, tensorboard (see longshore jobs --help)",
        ),
        (("jobs", "list", "--state", "done"), "'done' is not one of"),
        (("jobs", "list", "--limit", "0"), "--limit"),
        (("infer", "digits"), "Missing argument 'DATA'"),
        (("train", "x", "--model", "m", "--target", "t", "--set", "hidden"), "KEY=VALUE"),
        (("--home", "", "status"), "must not be empty; specify a folder"),
        (("up", "--redis-port", "0"), "--redis-port: 0 is no port"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = longshore(tmp_path / "home", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("longshore: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_shared_options_can_stand_before_or_after_the_command(tmp_path: Path) -> None:
    other = tmp_path / "other"
    for arguments in (
        ("--home", other, "jobs", "list"),
        ("jobs", "--home", other, "list"),
        ("jobs", "list", "--home", other),
    ):
        done = longshore(tmp_path / "home", *map(str, arguments))
        assert done.returncode == 3
        assert f"no cluster is up in {other};" in done.stderr


def test_a_damaged_home_is_reported(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{")
    done = longshore(tmp_path, "jobs", "list")
    assert done.returncode == 3
    assert "cluster.json is damaged" in done.stderr


def test_doctor_reports_what_it_can_without_a_cluster(tmp_path: Path) -> None:
    done = longshore(tmp_path / "home", "doctor", "--json")
    assert done.returncode == 1
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["ok"] is False
    levels = {check["name"]: check["level"] for check in document["checks"]}
    assert levels["python"] == "ok"
    assert levels["cluster"] == "fail"
