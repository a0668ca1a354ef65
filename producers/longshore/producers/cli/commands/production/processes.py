"""``longshore worker``, ``relay``, ``gateway``, ``flower`` and ``migrate``: each becomes another program.

The programs are executed instead of imported, because producers do not import the code of the workers. They get the
addresses of the cluster through the environment, so that no password is visible in the list of processes.
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
from longshore.shared.settings import Process
from longshore.shared.vocabulary import LOG_FORMATS

_log_format = click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    help="text, or json for one JSON object per line. Default: LONGSHORE_LOG_FORMAT, or text.",
)


@click.command()
@click.option(
    "--devices",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cpu:N|cuda:I|cuda:I+cuda:J,...",
    help="auto: one worker per GPU, or one on the CPU. cpu:N: N workers on the CPU. cuda:I,...: one worker per entry; "
    "cuda:I+cuda:J: one worker with several GPUs.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Seconds that a worker has after SIGTERM to hand back its shard before its computation is ended; the shard is "
    "handed back then, too. Default: LONGSHORE_GRACE, or 30.",
)
@_log_format
@with_options
def worker(options: Options, devices: str, grace: float | None, log_format: str | None) -> None:
    """Run one worker per device of this machine until Ctrl-C or SIGTERM."""
    _require("torch", "worker")
    more = () if grace is None else ("--grace", str(grace))
    _set_log_format(log_format)
    _exec_module(options, "longshore.workers.process.supervisor", "--devices", devices, *more, process=Process.SERVICES)


@click.command()
@_log_format
@with_options
def relay(options: Options, log_format: str | None) -> None:
    """Publish waiting jobs, republish lost ones, and fail overdue ones.

    Several relays can run at the same time; one of them leads.
    """
    _set_log_format(log_format)
    _exec_module(options, "longshore.broker.relay", process=Process.SERVICES)


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port to listen on.")
@_log_format
@with_options
def gateway(options: Options, address: str, port: int, log_format: str | None) -> None:
    """Run the HTTP gateway. Callers show a token of `longshore tokens create`."""
    _require("fastapi", "gateway")
    _set_log_format(log_format)
    _exec_module(
        options, "longshore.producers.gateway", "--address", address, "--port", str(port), process=Process.GATEWAY
    )


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True, help="Port to listen on.")
@with_options
def flower(options: Options, address: str, port: int) -> None:
    """Run Flower, the web monitor, read-only. Sign in as `longshore`.

    The password is read from LONGSHORE_FLOWER_PASSWORD, from the file LONGSHORE_FLOWER_PASSWORD_FILE, or from the home.
    """
    _require("flower", "monitor")
    _exec_module(options, "longshore.broker.flower", "--address", address, "--port", str(port), process=Process.MONITOR)


@click.command()
@click.option("--roles", is_flag=True, help="Also make or update the database roles and their rights.")
@click.option(
    "--login",
    "logins",
    multiple=True,
    metavar="ROLE:NAME:FILE",
    help="With --roles: a login with a role (owner, producer, gateway, operator, worker, relay or monitor) and the "
    "password in a file. Can be repeated.",
)
@click.option(
    "--row-security/--no-row-security",
    default=None,
    help="With --roles: a producer sees and changes its own jobs only. Default: as it is; at first off.",
)
@click.option(
    "--revoke-public",
    is_flag=True,
    help="With --roles: take the rights on the database and the schema that every login has by default.",
)
@click.option(
    "--role-prefix", default="longshore", show_default=True, help="With --roles: what the roles' names begin with."
)
@click.option("--print", "only_print", is_flag=True, help="With --roles: print the SQL of the roles and do nothing.")
@with_options
def migrate(
    options: Options,
    roles: bool,
    logins: tuple[str, ...],
    row_security: bool | None,
    revoke_public: bool,
    role_prefix: str,
    only_print: bool,
) -> None:
    """Create or upgrade the database tables. Safe to run several times at once.

    With --roles, for a superuser or a user with CREATEROLE who owns the tables: each kind of process gets a role with
    the least rights, such as longshore_producer.
    """
    if not roles:
        if logins or row_security is not None or revoke_public or only_print:
            raise InvalidInput("--roles", "not set; the other options of migrate need it")
        _exec_module(options, "longshore.broker.migrate", process=Process.OWNER)
    if only_print:
        from longshore.shared.ledger.roles import script

        script.check_name("--role-prefix", role_prefix)
        sys.stdout.write(script.render(role_prefix, row_security=row_security, revoke_public=revoke_public))
        return
    arguments = ["--roles", "--role-prefix", role_prefix, *(part for login in logins for part in ("--login", login))]
    if row_security is not None:
        arguments.append("--row-security" if row_security else "--no-row-security")
    if revoke_public:
        arguments.append("--revoke-public")
    _exec_module(options, "longshore.broker.migrate", *arguments, process=Process.OWNER)


def _exec_module(options: Options, module: str, *arguments: str, process: Process) -> NoReturn:
    environ = {**os.environ, **find_settings(options, process).environment()}
    sys.stdout.flush()
    # -P: files in the current folder must not shadow packages.
    os.execve(sys.executable, [sys.executable, "-P", "-m", module, *arguments], environ)


def _set_log_format(log_format: str | None) -> None:
    if log_format is not None:
        os.environ["LONGSHORE_LOG_FORMAT"] = log_format


def _require(package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise InvalidInput(package, f"not installed; run: pip install 'longshore[{extra}]'")
