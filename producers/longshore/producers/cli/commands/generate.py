"""``longshore generate``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import click

from longshore.producers.cli.completion import complete_file, complete_version
from longshore.producers.cli.connect import connected
from longshore.producers.cli.job_options import job_options, used_options
from longshore.producers.cli.option_types import SectionedCommand
from longshore.producers.cli.options import Options, with_options

if TYPE_CHECKING:
    from longshore.producers.data import GenerateData
    from longshore.producers.options.keywords import GenerateOptions

#: Stands for standard input in place of a file.
STDIN = "-"


@click.command(cls=SectionedCommand)
@click.argument("model", shell_complete=complete_version)
@click.argument("data", required=False, shell_complete=complete_file)
@click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="A prompt. Can be repeated.")
@job_options("generate", wait=True)
@with_options
def generate(
    options: Options, /, model: str, data: str | None, prompts: tuple[str, ...], wait: bool, **values: object
) -> None:
    """Generate text with MODEL (chat, chat:3 or chat@production) for every row of DATA, or for each --prompt.

    DATA is a file with a column `prompt` or `messages`, `-` for one prompt on each line of standard input, or a prompt
    of several words. docs/how-to/language-models.md has examples. Waits for the job and prints the texts: alone if
    there is one, as a table of the first rows otherwise. With --no-wait it prints the job's id.
    """
    rows = _data(data, prompts)
    keywords = cast("GenerateOptions", used_options("generate", values))
    with connected(options) as client:
        from longshore.producers.cli.views.generated_texts import print_texts
        from longshore.producers.cli.views.job_view import print_submitted

        job = client.generate(model, rows, **keywords)
        if wait:
            print_texts(options, job)
        else:
            print_submitted(options, job, wait=False)


def _data(data: str | None, prompts: tuple[str, ...]) -> GenerateData:
    """:raises UsageError: there are neither data nor prompts, or both."""
    if (data is None) != bool(prompts):
        raise click.UsageError("give DATA or --prompt" + (", not both" if prompts else ""))
    if data == STDIN:
        return _read_lines()
    return list(prompts) if data is None else data


def _read_lines() -> list[str]:
    """The lines of standard input that are not blank.

    :raises UsageError: there are none, or they are no text.
    """
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not text in UTF-8: {error}") from None
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise click.UsageError("standard input has no lines")
    return lines
