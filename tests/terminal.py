"""Running a command on a terminal of some width."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence

from tests.waiting import TIMEOUT_S

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_a_terminal(command: Sequence[str], environment: Mapping[str, str], columns: int, status: int = 0) -> str:
    """What a command writes on a terminal, with its escape sequences. It must end with this status."""
    screen, terminal = pty.openpty()
    settings = {**environment, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen(command, env=settings, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(screen, 65536):
            shown += chunk
    except OSError:  # how Linux says that the last one has closed the terminal
        pass
    finally:
        os.close(screen)
    assert process.wait(TIMEOUT_S) == status, shown
    return shown.decode()


def without_escapes(shown: str) -> str:
    """The text of what was written, with line ends as in files."""
    return _ESCAPES.sub("", shown).replace("\r\n", "\n")
