"""Turning the exception of a command into one line on standard error and an exit code."""

from __future__ import annotations

import os
import re
import sys

import click

from longshore.shared.errors import LongshoreError, UnknownJob

EXIT_FAILED = 1
_NO_JOB = re.compile(r"there is no job \S+$")
#: 128 plus the number of the signal, as in shells: SIGINT, SIGPIPE.
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141


def exit_code(error: BaseException, *, debug: bool = False) -> int:
    """Print an error to standard error and return the exit code.

    :param debug: print the traceback of an unexpected error.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return _handle_broken_pipe()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _handle_broken_pipe()
    if isinstance(error, click.ClickException):
        _print_error(_usage_message(error))
        return error.exit_code
    if isinstance(error, LongshoreError):
        remedy = "; see longshore jobs list" if isinstance(error, UnknownJob) and _NO_JOB.search(str(error)) else ""
        _print_error(f"{error}{remedy}")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        _print_error(str(error) or "interrupted")
        return EXIT_INTERRUPTED
    _print_unexpected(error, debug)
    return EXIT_FAILED


def _usage_message(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    return message if context is None else f"{message} (see {context.command_path} --help)"


def _print_unexpected(error: BaseException, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exception(error)
        return
    lines = str(error).strip().splitlines()
    first_line = f": {lines[0]}" if lines else ""
    _print_error(f"unexpected {type(error).__name__}{first_line}; run the command with --debug for the traceback")


def _print_error(message: str) -> None:
    sys.stderr.write(f"longshore: {message}\n")


def _handle_broken_pipe() -> int:
    """The reader of the output has stopped, which is not an error: ``longshore jobs list | head``."""
    # Python flushes buffered output at exit; that must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE
