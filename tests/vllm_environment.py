"""The environment of Python that has vLLM: built by the first test that needs it, and kept for those that follow.

vLLM and the other engine need different releases of transformers, so the tests run it in processes of their own.
``python -m tests.vllm_environment`` builds it if necessary, and prints a command that runs Python in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import platformdirs

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints-vllm.txt"
#: Environments that are kept: that of this release, and of one before.
KEPT = 2
#: The name of an empty file in an environment that is complete.
_COMPLETE = "complete"


def vllm_python() -> Path:
    """The interpreter that can import vLLM and Longshore's requirements. Building it takes minutes.

    :raises AssertionError: it could not be built; shows what pip said.
    """
    text = CONSTRAINTS.read_bytes() + sys.version.encode()
    root = Path(platformdirs.user_cache_dir("longshore-tests", ensure_exists=True))
    folder = root / f"vllm-{hashlib.sha256(text).hexdigest()[:16]}"
    with (root / "vllm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of the test run wait for the first
        if not (folder / _COMPLETE).exists():
            _build(folder)
            _remove_old(root)
        os.utime(folder)
    return folder / "bin/python"


def vllm_variables() -> Mapping[str, str]:
    """Variables by which a process of that interpreter finds Longshore and the modules of the tests."""
    sources = [ROOT / part for part in ("shared", "broker", "producers", "workers")]
    # The directory of the interpreter and of no script comes first, as in the processes of a cluster.
    return {"PYTHONPATH": os.pathsep.join(map(str, [*sources, ROOT])), "PYTHONSAFEPATH": "1"}


def _build(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    done = subprocess.run(
        [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "-r", CONSTRAINTS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{CONSTRAINTS.name} cannot be installed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    (folder / _COMPLETE).touch()


def _remove_old(root: Path) -> None:
    folders = sorted(root.glob("vllm-*/"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[KEPT:]:
        shutil.rmtree(folder)


if __name__ == "__main__":
    python = vllm_python()
    sys.stdout.write(f"PYTHONPATH={vllm_variables()['PYTHONPATH']} {python}\n")
