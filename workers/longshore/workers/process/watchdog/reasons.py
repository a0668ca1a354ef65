"""Why a child ended, in words for the owner of the job that it ran."""

from __future__ import annotations

import re
import signal
from pathlib import PurePath

from longshore.workers.process.watchdog.board import Board

#: Characters of the last lines of the log, and of the whole reason, at most.
MAX_LOG_CHARS, MAX_REASON_CHARS = 700, 1500
#: Frames of the stack that are named, the innermost first.
MAX_FRAMES = 3

_FRAME = re.compile(r'^  File "(?P<file>[^"]*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)
#: The user and the password of a URL, and values that are named like a secret.
_SECRETS = (
    (re.compile(r"(\w://)[^\s/@]*@"), r"\1***@"),
    (re.compile(r"(?i)\b(password|passwd|secret|token|access_?key|authorization)(\W{1,3})\S+"), r"\1\2***"),
)


def describe_exit(code: int) -> str:
    """What ended a process.

    :param code: its status, or the negative number of the signal that ended it.
    """
    if code >= 0:
        return f"its process ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if code == -signal.SIGKILL:
        return f"its process was killed ({name}); the machine or the container may have run out of memory"
    return f"its process was ended by {name}"


def exit_reason(cause: str, board: Board) -> str:
    """The reason of an attempt whose child has ended: the cause, the innermost calls, and the last lines of its log."""
    stack = board.stack()
    # The newest stack is the last; within it, the innermost call comes first.
    newest = stack.rpartition("most recent call first")[2]
    frames = [
        f"{match['function']} ({PurePath(match['file']).name}:{match['line']})" for match in _FRAME.finditer(newest)
    ]
    parts = [cause]
    if frames:
        parts.append(f"it was in {', called by '.join(frames[:MAX_FRAMES])}")
    if lines := board.log().strip():
        parts.append(f"its last log lines: {lines[-MAX_LOG_CHARS:]}")
    return redact("; ".join(parts)).replace("\x00", "")[:MAX_REASON_CHARS]


def redact(text: str) -> str:
    """Replace passwords in URLs, and what is named like a secret."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
