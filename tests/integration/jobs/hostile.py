"""A family whose network does what no network should, for the rows that ask for it."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

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
