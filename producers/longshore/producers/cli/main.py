"""The entry point of ``longshore``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from longshore.producers.cli.catalog import COMMANDS, SECTIONS
from longshore.producers.cli.errors import EXIT_INTERRUPTED, exit_code
from longshore.producers.cli.options import current, shared_options

PROGRAM = "longshore"


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with this name; ``None`` if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"longshore.producers.cli.commands.{COMMANDS[cmd_name].module}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, grouped into sections."""
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(8), entry.help) for name, entry in entries.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command to run.

        :raises UsageError: there is no such command; the message suggests a similar one.
        """
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            import difflib

            matches = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {matches[0]}?" if matches else f"the commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from longshore.producers.version import __version__

        click.echo(f"{PROGRAM} {__version__}")
        context.exit()


@click.group(
    PROGRAM,
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@shared_options
@click.pass_context
def cli(context: click.Context) -> None:
    """Train models and run batch inference on Redis, Celery and Postgres."""
    if context.invoked_subcommand is None:
        from longshore.producers.cli.commands.status import overview

        overview(current())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a character shows an escape sequence
            stream.reconfigure(errors="backslashreplace")
    try:
        with cli.make_context(PROGRAM, list(arguments)) as context:
            cli.invoke(context)
        sys.stdout.flush()
        return 0
    except (
        Exception,
        KeyboardInterrupt,
    ) as error:  # the outermost handler: every exception becomes one line and an exit code
        return exit_code(error, debug="--debug" in arguments)


def main() -> None:
    """Run ``longshore``. Exit codes: 0, 1 (the job failed), 2 (wrong usage), 3 (a service cannot be reached)."""
    if f"_{PROGRAM.upper()}_COMPLETE" in os.environ:
        cli.main(prog_name=PROGRAM)
    code = run(sys.argv[1:])
    if code == EXIT_INTERRUPTED:
        # Started by python -m, Python remembers a Ctrl-C that came while it evaluated a string, as late imports do to
        # make a dataclass, and would end by the signal though the exception was handled.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
