"""``longshore worker``, ``relay``, ``flower`` and ``migrate``: this process becomes the one that was asked for.

They are replaced rather than called, because a producer knows nothing of the workers' code. The addresses of the
cluster go along in the environment, so that no password stands in a list of processes.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import NoReturn

import click

from longshore.producers.cli.connect import find_settings
from longshore.producers.cli.options import Options, with_options
from longshore.shared.errors import InvalidInput


@click.command()
@click.option(
    "--devices",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cpu:N|cuda:I|cuda:I+cuda:J,...",
    help="One worker on each: every GPU, or else the CPU; N CPU workers; some GPUs; several GPUs at once.",
)
@with_options
def worker(options: Options, devices: str) -> None:
    """Run one worker on each device of this machine, until Ctrl-C or SIGTERM."""
    _require("torch", "worker")
    _become(options, "longshore.workers.process.supervisor", "--devices", devices)


@click.command()
@with_options
def relay(options: Options) -> None:
    """Publish what waits, replace what Redis lost, end what is overdue. Several may run; one of them acts."""
    _become(options, "longshore.broker.relay")


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True)
@with_options
def flower(options: Options, address: str, port: int) -> None:
    """Run Flower, read-only, for the user `longshore`.

    The password is LONGSHORE_FLOWER_PASSWORD, or stands in the file that LONGSHORE_FLOWER_PASSWORD_FILE names, or is
    the home's.
    """
    _require("flower", "monitor")
    _become(options, "longshore.broker.flower", "--address", address, "--port", str(port))


@click.command()
@with_options
def migrate(options: Options) -> None:
    """Create the database's tables, or bring them up to date. Safe to run by many at once."""
    _become(options, "longshore.broker.migrate")


def _become(options: Options, module: str, *arguments: str) -> NoReturn:
    environ = {**os.environ, **find_settings(options).environment()}
    sys.stdout.flush()
    # -P: a file in this folder that is named like a package must not take that package's place.
    os.execve(sys.executable, [sys.executable, "-P", "-m", module, *arguments], environ)


def _require(package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise InvalidInput(package, f"not installed; run: pip install 'longshore[{extra}]'")
