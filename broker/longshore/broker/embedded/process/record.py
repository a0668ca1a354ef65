"""The record of what runs in a home, by which a later command finds it even if ``up`` was killed."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path

from longshore.broker.embedded.files import home_errors, write_private
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.identity import Identity


@dataclass(frozen=True)
class Recorded:
    """One process, and how to stop it.

    :param grace_s: seconds between ``stop_signal`` and SIGKILL.
    """

    name: str
    identity: Identity
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0


@dataclass(frozen=True)
class Record:
    """What one ``up`` started.

    :param run: the id of the ``up``, which marks the environment of all its processes.
    :param children: in the order of starting.
    """

    run: str
    children: tuple[Recorded, ...] = ()

    def write(self, home: Home) -> None:
        """:raises HomeError: the file cannot be written."""
        rows = [
            {
                "name": child.name,
                **child.identity.as_json(),
                "stop_signal": child.stop_signal.value,
                "grace_s": child.grace_s,
            }
            for child in self.children
        ]
        with home_errors(record_file(home)):
            write_private(record_file(home), json.dumps({"run": self.run, "children": rows}, indent=1))

    @classmethod
    def read(cls, home: Home) -> Record | None:
        """Read the record of a home; ``None`` if there is none, or it cannot be parsed."""
        try:
            content = json.loads(record_file(home).read_text())
            children = tuple(
                Recorded(
                    str(row["name"]),
                    Identity.read(row),
                    signal.Signals(int(row["stop_signal"])),
                    float(row["grace_s"]),
                )
                for row in content["children"]
            )
            return cls(str(content["run"]), children)
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return None


def record_file(home: Home) -> Path:
    """The path of the record."""
    return home.run / "processes.json"
