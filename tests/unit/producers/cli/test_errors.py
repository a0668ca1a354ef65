"""The exit code and the message of each kind of error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from longshore.producers.cli.errors import exit_code
from longshore.shared.errors import HomeError, InvalidInput, JobFailed, NoCluster, ServiceUnavailable, WaitTimeout
from tests.waiting import TIMEOUT_S


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InvalidInput("data", "no such file"), 2, "longshore: data: no such file\n"),
        (JobFailed("job 7 failed"), 1, "longshore: job 7 failed\n"),
        (WaitTimeout("not yet"), 1, "longshore: not yet\n"),
        (ServiceUnavailable("Redis cannot be reached"), 3, "longshore: Redis cannot be reached\n"),
        (NoCluster("none is up"), 3, "longshore: none is up\n"),
        (HomeError("taken"), 3, "longshore: taken\n"),
        (click.UsageError("no such\n  option"), 2, "longshore: no such option\n"),
        (click.exceptions.Exit(5), 5, ""),
        (KeyboardInterrupt("the job continues to run"), 130, "longshore: the job continues to run\n"),
        (KeyboardInterrupt(), 130, "longshore: interrupted\n"),
    ],
)
def test_every_error_has_its_code_and_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(error) == code
    assert capsys.readouterr().err == line


def test_an_unexpected_error_shows_its_traceback_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("key")
    except KeyError as caught:
        error = caught
    assert exit_code(error) == 1
    assert capsys.readouterr().err == (
        "longshore: unexpected KeyError: 'key'; run the command with --debug for the traceback\n"
    )
    assert exit_code(error, debug=True) == 1
    output = capsys.readouterr().err
    assert output.startswith("Traceback")
    assert output.endswith("KeyError: 'key'\n")


#: Interrupts itself while a string is evaluated, as when Ctrl-C comes during a late import.
INTERRUPTED = """
import signal

from longshore.producers.cli import main
from longshore.producers.cli.errors import exit_code


def run(arguments):
    try:
        exec("import os, signal\\nos.kill(os.getpid(), signal.SIGINT)\\nfor _ in range(10**9): pass")
    except KeyboardInterrupt as error:
        return exit_code(error, debug=False)


signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
main.run = run
main.main()
"""


def test_ctrl_c_during_an_import_ends_with_the_code_of_an_interruption(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "longshore: interrupted\n")
