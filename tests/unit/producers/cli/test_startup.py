"""The command line as a process: quick, light, and clear where there is no cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

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


def longshore(home: Path, *arguments: str, script: str | None = None) -> subprocess.CompletedProcess[str]:
    program = ["-m", "longshore.producers.cli.main"] if script is None else ["-c", script]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LONGSHORE_")}
    return subprocess.run(
        [sys.executable, *program, *arguments],
        env={**environment, "LONGSHORE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_a_cluster_it_says_what_to_do(tmp_path: Path) -> None:
    done = longshore(tmp_path / "home")
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"No cluster is up in {tmp_path}/home" in done.stdout
    assert "longshore up" in done.stdout
    said = longshore(tmp_path / "home", "--json")
    assert json.loads(said.stdout) == {"running": False, "home": f"{tmp_path}/home"}


@pytest.mark.parametrize(
    "arguments",
    [
        "status", "jobs list", "jobs show 1", "results 1", "models list", "models show x", "infer m x",
        "train x --model m --target t", "relay", "migrate", "status --show-password",
    ],
)  # fmt: skip
def test_what_needs_a_cluster_says_so_at_once(tmp_path: Path, arguments: str) -> None:
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


@pytest.mark.parametrize(("arguments", "limit"), [((), 0.5), (("--help",), 0.4), (("jobs", "list"), 0.5)])
def test_it_answers_quickly(tmp_path: Path, arguments: tuple[str, ...], limit: float) -> None:
    # The best of several: what else the machine does is not the command's.
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        longshore(tmp_path / "home", *arguments)
        taken.append(time.perf_counter() - start)
    assert min(taken) < limit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("jbos",), "no command 'jbos'; did you mean jobs? (see longshore --help)"),
        (
            ("jobs",),
            "list, show, wait, cancel, retry, extend, plot, report, tensorboard (see longshore jobs --help)",
        ),
        (("jobs", "list", "--state", "done"), "'done' is not one of"),
        (("jobs", "list", "--limit", "0"), "--limit"),
        (("infer", "digits"), "Missing argument 'DATA'"),
        (("train", "x", "--model", "m", "--target", "t", "--set", "hidden"), "KEY=VALUE"),
        (("--home", "", "status"), "must not be empty; specify a folder"),
        (("up", "--redis-port", "0"), "--redis-port: 0 is no port"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = longshore(tmp_path / "home", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("longshore: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_shared_options_stand_before_or_after_the_command(tmp_path: Path) -> None:
    other = tmp_path / "other"
    for arguments in (
        ("--home", other, "jobs", "list"),
        ("jobs", "--home", other, "list"),
        ("jobs", "list", "--home", other),
    ):
        done = longshore(tmp_path / "home", *map(str, arguments))
        assert done.returncode == 3
        assert f"no cluster is up in {other};" in done.stderr


def test_a_damaged_home_and_half_the_addresses_are_told(tmp_path: Path) -> None:
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
