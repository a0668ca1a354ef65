"""``longshore completion``: completing words in the shell."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.options import Options, with_options
from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@with_options
def completion(options: Options, shell: str | None) -> None:
    """Print a script for SHELL that completes commands, options, ids of jobs, and models. Default: by $SHELL.

    \b
    bash:  echo 'eval "$(longshore completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(longshore completion zsh)"' >> ~/.zshrc
    fish:  longshore completion fish > ~/.config/fish/completions/longshore.fish
    """
    from click.shell_completion import get_completion_class

    from longshore.producers.cli.bash_completion import WholeWordBashComplete

    name = shell or Path(os.environ.get("SHELL", "")).name
    if name == "bash":
        script: type[ShellComplete] | None = WholeWordBashComplete
    else:
        script = get_completion_class(name) if name in SHELLS else None
    if script is None:
        raise InvalidInput("SHELL", f"{name!r}: write one of {', '.join(SHELLS)}")
    root = click.get_current_context().find_root()
    program = root.info_name or "longshore"
    sys.stdout.write(script(root.command, {}, program, f"_{program.upper()}_COMPLETE").source())
