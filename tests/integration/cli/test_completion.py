"""Completion in the shells themselves: words are typed on a terminal, and what the shell makes of them is read."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster
from tests.integration.command_line import PROGRAM
from tests.terminal import without_escapes
from tests.waiting import TIMEOUT_S

READY, TAB = "ready>", b"\t"
#: What is typed before Tab, and the word that it becomes.
WORDS = [
    ("longshore jobs li", "list"),
    ("longshore models show dig", "digits"),
    ("longshore models show digits:", "digits:1"),
    ("longshore models show digits@prod", "digits@production"),
    ("longshore jobs show @la", "@last"),
    ("longshore jobs list --state fa", "failed"),
]


@pytest.fixture(scope="module")
def environment(cluster: Cluster, digits_version: None, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a shell, with the program on its path, and a version with an alias."""
    for shell in ("bash", "zsh", "fish"):
        assert shutil.which(shell) is not None, f"no {shell}; install Debian's package {shell}"
    with cluster.client() as client:
        client.models.promote("digits:1", "production")
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "longshore"
    program.write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
    program.chmod(0o755)
    home = tmp_path_factory.mktemp("home")
    own = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb", "PS1": READY}
    return {**cluster.environment, **own}


def typed(command: Sequence[str], environment: Mapping[str, str], setup: str, words: str) -> str:
    """The line of an interactive shell after some words, Tab and a mark of ours, which ends the reading."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    shown = ""

    def read_until(text: str) -> None:
        nonlocal shown
        while text not in shown:
            shown += without_escapes(os.read(screen, 65536).decode())

    try:
        read_until(READY)
        shown = ""
        os.write(screen, f"{setup}; echo set-''up\n".encode())
        read_until("set-up")
        read_until(READY)
        shown = ""
        os.write(screen, words.encode() + TAB + b"-END")
        read_until("-END")
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
        os.close(screen)
    return as_seen(shown)


def as_seen(written: str) -> str:
    """What a terminal shows of it: a backspace goes back by one character, which the next one replaces."""
    seen: list[str] = []
    position = 0
    for character in written:
        if character == "\b":
            position -= 1
        else:
            seen[position : position + 1] = [character]
            position += 1
    return "".join(seen)


@pytest.mark.parametrize(("words", "completed"), WORDS)
def test_bash(environment: Mapping[str, str], words: str, completed: str) -> None:
    command = ("bash", "--norc", "--noprofile", "-i")
    line = typed(command, environment, 'eval "$(longshore completion bash)"', words)
    assert f" {completed}" in line


def test_bash_offers_the_versions_of_a_model(environment: Mapping[str, str]) -> None:
    script = (
        'eval "$(longshore completion bash)"; COMP_LINE="$1"; COMP_POINT=${#1}; _longshore_completion longshore @; '
    )
    command = ["bash", "-c", f"{script} printf '%s\\n' \"${{COMPREPLY[@]}}\"", "bash", "longshore models show digits@"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert (done.stdout, done.stderr) == ("@production\n", "")


@pytest.mark.parametrize(("words", "completed"), WORDS)
def test_zsh(environment: Mapping[str, str], words: str, completed: str) -> None:
    setup = 'autoload -Uz compinit; compinit -u; eval "$(longshore completion zsh)"'
    line = typed(("zsh", "-f", "-i", "-V"), environment, setup, words)
    assert f" {completed}" in line


@pytest.mark.parametrize(("words", "completed"), WORDS)
def test_fish(environment: Mapping[str, str], words: str, completed: str, tmp_path: Path) -> None:
    script = f'longshore completion fish | source; complete -C "{words}"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [completed]
    assert done.stderr == ""
