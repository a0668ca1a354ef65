"""Cleans up after a test run, however it ends: a run that is killed leaves no services, workers or files.

``python keeper.py FOLDER`` waits until its standard input is closed, as the system does when the run is gone. Then it
ends every process of a cluster whose store lies in FOLDER, stops the services in FOLDER/home, and removes FOLDER.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from longshore.broker import embedded


def belongs(process: psutil.Process, folder: Path) -> bool:
    """Whether a process was started with a store in ``folder``."""
    try:
        return process.environ().get("LONGSHORE_STORE", "").startswith(f"file://{folder}/clusters/")
    except psutil.Error:  # another user's, a zombie, or gone
        return False


def main() -> None:
    """Wait, then clean up."""
    folder = Path(sys.argv[1])
    sys.stdin.read()
    for process in [each for each in psutil.process_iter() if belongs(each, folder)]:
        process.kill()
    embedded.down(folder / "home")
    for disk in psutil.disk_partitions(all=True):
        if Path(disk.mountpoint).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", disk.mountpoint], check=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
