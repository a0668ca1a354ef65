"""A family whose network does what no network should, for the rows that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

from longshore.producers import Client, Job
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S

#: Seconds that a slow batch takes.
SLOW_S = 0.5


class Deed(IntEnum):
    """The value of a row, and what the network does when it sees it."""

    EXIT = 1001
    SEGFAULT = 1002
    #: A loop in native code that holds the interpreter.
    HOLD_INTERPRETER = 1003
    #: A call that waits for ever.
    WAIT = 1004
    #: A loop in Python.
    LOOP = 1005
    TAKE_MEMORY = 1006
    CALL_EXIT = 1007
    #: :data:`SLOW_S` for each batch.
    SLOW = 1008
    #: More lines than a log keeps, and a password among them.
    PRINT = 1009


SOURCE = """
import ctypes
import logging
import os
import re
import sys
import time

import torch
from longshore.shared.specs.families import FamilyConfig
from longshore.workers.families.base import NetworkFamily
from torch import nn


class Hostile(nn.Module):
    def __init__(self, width, outputs):
        super().__init__()
        self.layer = nn.Linear(width, outputs)

    def _load_from_state_dict(self, *arguments, **options):
        time.sleep(float(os.environ.get("HOSTILE_LOADING_S", "0")))
        return super()._load_from_state_dict(*arguments, **options)

    def forward(self, rows):
        deed = int(rows.max()) if len(rows) else 0
        if deed > 1000:
            logging.getLogger("longshore.hostile").warning("deed %d at https://user:hunter2@example.org", deed)
        if deed == 1001:
            os._exit(7)
        elif deed == 1002:
            ctypes.string_at(0)
        elif deed == 1003:
            re.match("(a+)+$", "a" * 60 + "b")
        elif deed == 1004:
            while True:
                ctypes.CDLL(None).pause()
        elif deed == 1005:
            while True:
                pass
        elif deed == 1006:
            kept = []
            while True:
                kept.append(torch.ones(4_000_000))
                time.sleep(0.01)
        elif deed == 1007:
            sys.exit(9)
        elif deed == 1008:
            time.sleep(SLOW_S)
        elif deed == 1009:
            print("the first line, from postgresql://user:hunter2@host/name")
            for number in range(20_000):
                print(f"line {number} of many that say nothing new")
            print("the last line", file=sys.stderr)
        return self.layer(rows)


HOSTILE = NetworkFamily("hostile", FamilyConfig, lambda config, width, outputs: Hostile(width, outputs))
"""


def install(folder: Path) -> str:
    """Put the package into a folder, as pip would. Returns the PYTHONPATH for the workers."""
    (folder / "hostile_family.py").write_text(f"SLOW_S = {SLOW_S}\n{SOURCE}")
    info = folder / "hostile_family-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile-family\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[longshore.families]\nhostile = hostile_family:HOSTILE\n")
    return str(folder)


@contextmanager
def hostile_client(cluster: Cluster) -> Iterator[Client]:
    """A producer with a version, ``hostile``, that does what its rows ask for."""
    with cluster.client() as client:
        rows = [{"x": float(number % 2), "y": number % 2} for number in range(20)]
        client.train("hostile", "hostile", rows, "y", epochs=1, standardize=False, task="regression").wait(TIMEOUT_S)
        yield client


def infer(client: Client, *values: float, max_attempts: int = 3) -> Job:
    """Submit rows of these values."""
    return client.infer("hostile", [{"x": float(value)} for value in values], max_attempts=max_attempts)
