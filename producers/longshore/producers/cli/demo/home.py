"""Where the demonstration runs, and its removal however it ends."""

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
class Place:
    """A cluster that is up, and a folder for files."""

    home: Path
    data: Path
    status: Status


@contextmanager
def demo_place(given: Path | None, devices: str, keep: bool, say: Callable[[str], None]) -> Iterator[Place]:
    """A cluster in a new folder, or in the home that is given. What was made or started for it goes again.

    :param given: is used as it is if it is up.
    :param keep: once the cluster is up, leave everything.
    :raises HomeError: no folder can be made, or the cluster does not start.
    """
    with ExitStack() as made:
        made.enter_context(_ended_by_signals())
        folder = _new_folder()
        made.callback(shutil.rmtree, folder, ignore_errors=True)
        home = folder / "home" if given is None else given
        status = embedded.status(home)
        if not status.ready:
            say("Starting Redis, Postgres, a relay, a worker and Flower ...")
            if given is not None and not home.exists():
                made.callback(shutil.rmtree, home, ignore_errors=True)
            # An `up` that fails or is interrupted stops what it started, and nothing that others started in this home.
            status = embedded.up(home, devices=devices, detach=True)
            made.callback(embedded.down, home)
            made.enter_context(_undisturbed_end())
        try:
            yield Place(home, folder, status)
        finally:
            if keep:
                made.pop_all()


def _new_folder() -> Path:
    """Beside the default home, where a home can be: Postgres, which refuses root, runs as another user."""
    parent = home_folder(environ={}).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="longshore-demo-", dir=parent))
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise HomeError(f"{parent}: no folder can be made here ({error.strerror}); name one with --home") from None
    return folder


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end it as Ctrl-C does: after cleaning up."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed_end() -> Iterator[None]:
    """After this, what is registered before it is undone to its end: an impatient second Ctrl-C leaves nothing."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
