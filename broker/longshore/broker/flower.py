"""Flower, the monitor of Celery: read-only, behind a password, storing no file.

Run as ``python -m longshore.broker.flower [--address ADDRESS] [--port PORT]``. The user is ``longshore``; the password
is ``LONGSHORE_FLOWER_PASSWORD``, or else the content of the file ``LONGSHORE_FLOWER_PASSWORD_FILE``, or else the one of
the home.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.broker.logs import configure_logging
from longshore.shared.errors import InvalidInput, LongshoreError
from longshore.shared.settings import Process, Settings, load_settings

if TYPE_CHECKING:
    from celery import Celery
    from tornado.options import OptionParser

logger = logging.getLogger(__name__)

#: Tasks that are kept, the newest.
MAX_TASKS = 10_000
#: The user name to sign in with.
USER = "longshore"
PASSWORD_VARIABLE = "LONGSHORE_FLOWER_PASSWORD"
PASSWORD_FILE_VARIABLE = "LONGSHORE_FLOWER_PASSWORD_FILE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve Flower for the cluster that the environment or the home names, until SIGTERM or Ctrl-C.

    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m longshore.broker.flower", description="Flower, read-only.")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5555, help="default: %(default)s")
    options = parser.parse_args(arguments)
    configure_logging()
    try:
        require_flower()
        settings = load_settings(process=Process.MONITOR)
        password = find_password(settings, os.environ)
        from longshore.broker.app import make_app

        serve(make_app(settings), address=options.address, port=options.port, password=password)
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def serve(app: Celery, *, address: str, port: int, password: str) -> None:
    """Serve Flower's pages until SIGTERM or SIGINT. Call it in the main thread.

    :param app: the Celery application whose broker Flower monitors.
    :raises InvalidInput: the port cannot be listened on.
    """
    from flower.app import Flower
    from flower.urls import settings as pages
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop

    from longshore.broker.flower_pages.events import WorkerEvents
    from longshore.broker.flower_pages.guard import Guard
    from longshore.broker.flower_pages.states import TaskStates, WordsLoader

    options = set_options(password)
    asyncio.set_event_loop(asyncio.new_event_loop())
    loop = IOLoop.current()
    loader = WordsLoader(pages["template_path"])
    events = WorkerEvents(app, loop, enable_events=options.enable_events, max_tasks_in_memory=options.max_tasks)
    events.state = TaskStates(max_workers_in_memory=options.max_workers, max_tasks_in_memory=options.max_tasks)
    flower = Flower(capp=app, options=options, events=events, io_loop=loop, template_loader=loader, **pages)
    logging.getLogger("tornado.access").propagate = False
    # It logs a warning each time no worker answers, for example before the first one is up.
    logging.getLogger("flower.inspector").setLevel(logging.ERROR)
    try:
        HTTPServer(Guard(flower, USER, password)).listen(port, address)
    except OSError as error:
        raise InvalidInput("--port", f"cannot listen on {address}:{port}: {error.strerror}; give another") from error

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.add_callback_from_signal(flower.stop))
    logger.info("Flower listens on http://%s:%d; sign in as %s", address, port, USER)
    flower.start()
    logger.info("Flower stopped")


def set_options(password: str) -> OptionParser:
    """Flower's options. Its pages read some of them from a global, whatever options their application has."""
    from flower.options import default_options

    default_options.read_only = True
    default_options.basic_auth = [f"{USER}:{password}"]
    default_options.persistent = False
    # Workers always send events. Asked to every five seconds, they would log each time that they obey no command.
    default_options.enable_events = False
    default_options.tasks_columns = "state,args,result,received,started,runtime,worker,name,uuid"
    # The results of full batches name hundreds of jobs.
    default_options.max_tasks = MAX_TASKS
    options: OptionParser = default_options
    return options


def find_password(settings: Settings, environ: Mapping[str, str]) -> str:
    """The password: from the environment, from a file it names, or from the home.

    :raises InvalidInput: no password is set, or it is empty: Flower never runs without one.
    """
    password = environ.get(PASSWORD_VARIABLE)
    file = environ.get(PASSWORD_FILE_VARIABLE)
    if not password and file:
        try:
            password = Path(file).read_text().strip()
        except OSError as error:
            raise InvalidInput(PASSWORD_FILE_VARIABLE, f"{file}: {error.strerror}") from error
    if not password and settings.home is not None:
        from longshore.broker.embedded.home import Home

        password = Home(settings.home).load_secrets().flower_password
    if not password:
        raise InvalidInput(PASSWORD_VARIABLE, f"not set; set it, or {PASSWORD_FILE_VARIABLE}, to a password for Flower")
    return password


def require_flower() -> None:
    """:raises InvalidInput: the extra ``monitor`` is not installed."""
    if importlib.util.find_spec("flower") is None:
        raise InvalidInput("flower", "not installed; run: pip install 'longshore[monitor]'")


if __name__ == "__main__":
    sys.exit(main())
