"""The command line as people and programs run it: a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.waiting import TIMEOUT_S

PROGRAM = (sys.executable, "-m", "longshore.producers.cli.main")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> object:
        """What it wrote with ``--json``."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def fields(self) -> dict[str, object]:
        """The same, where it is an object."""
        document = self.document
        assert isinstance(document, dict)
        return document


def without_settings() -> dict[str, str]:
    """This environment, naming no cluster."""
    return {key: value for key, value in os.environ.items() if not key.startswith("LONGSHORE_")}


class CommandLine:
    """Runs ``longshore`` with one environment.

    :param environment: names the cluster.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = {**environment, "PYTHONUNBUFFERED": "1"}

    def __call__(self, *arguments: str | Path, timeout: float = TIMEOUT_S) -> Done:
        """Run one command to its end."""
        done = subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start one command."""
        return subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def read_until(stream: IO[str] | None, text: str) -> str:
    """Read lines until one holds ``text``; returns all of them. Fails at the end of the stream."""
    assert stream is not None
    read = ""
    for line in stream:
        read += line
        if text in line:
            return read
    raise AssertionError(f"{text!r} was not said in:\n{read}")


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> Done:
    """Send a signal, and wait for the end."""
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    return Done(process.returncode, out, err)
