"""From what a command ended with to one line on standard error and an exit code."""

from __future__ import annotations

import os
import sys

import click

from longshore.shared.errors import LongshoreError

FAILED, USAGE = 1, 2
#: 128 and the number of the signal, as shells count: SIGINT, SIGPIPE.
INTERRUPTED, BROKEN_PIPE = 130, 141


def exit_code(error: BaseException, *, debug: bool = False) -> int:
    """Tell people about an error; returns what the process ends with.

    :param debug: show the traceback of an error nobody foresaw.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return _end_pipe()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _end_pipe()
    if isinstance(error, click.ClickException):
        _say(_usage(error))
        return error.exit_code
    if isinstance(error, LongshoreError):
        _say(str(error))
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        _say(str(error) or "interrupted")
        return INTERRUPTED
    _say_unexpected(error, debug)
    return FAILED


def _usage(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    return message if context is None else f"{message} (see {context.command_path} --help)"


def _say_unexpected(error: BaseException, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exception(error)
        return
    first = str(error).strip().splitlines()
    said = f": {first[0]}" if first else ""
    _say(f"unexpected {type(error).__name__}{said}; the same command with --debug shows where it comes from")


def _say(message: str) -> None:
    sys.stderr.write(f"longshore: {message}\n")


def _end_pipe() -> int:
    """Nobody reads on, which is no error: `longshore jobs list | head`."""
    # What is still buffered is flushed when Python ends, and must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
