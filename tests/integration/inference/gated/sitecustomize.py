"""Makes a worker wait at a chosen moment, so that a test can end or freeze it just there.

Python runs this when a process starts that has this folder on its PYTHONPATH. Nothing of the worker is replaced: an
audit hook (https://docs.python.org/3/library/audit_events.html) holds it up while a file named like the moment lies in
the folder ``LONGSHORE_TEST_GATES``.
"""

from __future__ import annotations

import os
import sys
import time

GATES = os.environ["LONGSHORE_TEST_GATES"]
renamed = False


def moment(event: str, arguments: tuple[object, ...]) -> str | None:
    """Where a shard that writes a file is."""
    global renamed
    path = str(arguments[0]) if arguments else ""
    if event == "os.rename" and "/_longshore-" in path:
        renamed = True
        return "before the rename"
    if event == "open" and arguments[1] is None:  # os.open, which is used to bring files and folders to the disk
        if renamed:
            renamed = False
            return "after the rename"
        if "/_longshore-" in path and path.endswith((".parquet", ".jsonl")):
            return "before the decision"
    return None


def hold(event: str, arguments: tuple[object, ...]) -> None:
    """Wait while the gate of this moment is there; say so by a folder with the process's id in its name."""
    if event not in ("open", "os.rename"):
        return
    reached = moment(event, arguments)
    if reached is None:
        return
    gate = os.path.join(GATES, reached)  # noqa: PTH118 - pathlib may not be loaded yet
    if os.path.exists(gate):  # noqa: PTH110
        os.mkdir(f"{gate}.{os.getpid()}")  # noqa: PTH102
    while os.path.exists(gate):  # noqa: PTH110
        time.sleep(0.02)


sys.addaudithook(hold)
