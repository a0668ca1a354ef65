"""The cluster of the demo, which is removed however the demo ends."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from longshore.broker import embedded
from longshore.shared.errors import HomeError
from longshore.shared.settings import home_folder

if TYPE_CHECKING:
    from longshore.broker.embedded.report import Status


@dataclass(frozen=True)
class DemoCluster:
    """A running cluster, and a folder for data files."""

    home: Path
    data: Path
    status: Status


@contextmanager
def demo_cluster(
    existing_home: Path | None, devices: str, keep: bool, say: Callable[[str], None]
) -> Iterator[DemoCluster]:
    """A cluster in a temporary folder or in an existing home. Everything that this started or created is stopped and
    removed at the end.

    :param existing_home: is used without a restart if it is up; ``None`` creates a temporary home.
    :param keep: keep everything once the cluster is up.
    :param say: prints a line.
    :raises HomeError: the folder cannot be created, or the cluster does not start.
    """
    with ExitStack() as cleanup:
        cleanup.enter_context(_exit_on_signals())
        folder = _new_folder()
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        home = folder / "home" if existing_home is None else existing_home
        status = embedded.status(home)
        if not status.ready:
            say("Starting Redis, Postgres, a relay, a worker and Flower ...")
            if existing_home is not None and not home.exists():
                cleanup.callback(shutil.rmtree, home, ignore_errors=True)
            # If it fails or is interrupted, `up` stops what it started, but nothing that others started in this home.
            status = embedded.up(home, devices=devices, detach=True)
            cleanup.callback(embedded.down, home)
            cleanup.enter_context(_ignore_signals_at_exit())
        try:
            yield DemoCluster(home, folder, status)
        finally:
            if keep:
                cleanup.pop_all()


def _new_folder() -> Path:
    """Create a folder next to the default home. The user that Postgres runs as, never root, can access it."""
    parent = home_folder(environ={}).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="longshore-demo-", dir=parent))
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise HomeError(f"{parent}: cannot create a folder here ({error.strerror}); specify one with --home") from None
    return folder


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Clean up on SIGTERM and SIGHUP (the terminal was closed), as on Ctrl-C."""

    def exit_process(number: int, _: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    previous = {number: signal.signal(number, exit_process) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _ignore_signals_at_exit() -> Iterator[None]:
    """Ignore signals while the exit stack unwinds further, so that a second Ctrl-C does not interrupt the cleanup."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
