"""Reads an exported HDF5 file in a process of its own, with limits of its time and memory.

The HDF5 library can run forever on a damaged file, which nothing can interrupt in the process of a caller.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from longshore.shared.errors import InvalidInput, LongshoreError, ServiceUnavailable
from longshore.shared.store.manifest import Manifest

#: The processor time that any file may take, in seconds, and the bytes that are read in a second of it.
MIN_SECONDS, _BYTES_PER_SECOND = 30, 20 * 2**20
#: The memory that any file may take, beyond that of the process and twice the size of the file.
_MIN_BYTES = 2**30
_MODULE = "longshore.shared.model_formats.hdf5_process"


def read_hdf5(
    path: Path, folder: Path, field: str, min_seconds: int = MIN_SECONDS
) -> tuple[Manifest, Mapping[str, Path]]:
    """Read a file of :func:`~longshore.shared.model_formats.hdf5.write_hdf5` back, see
    :func:`~longshore.shared.model_formats.hdf5.read_hdf5`.

    :param min_seconds: the processor time that any file may take. Default: 30.
    :raises InvalidInput: it is not such a file, or reading it takes too long or too much memory.
    :raises ServiceUnavailable: the files cannot be written.
    """
    command = [sys.executable, "-P", "-m", _MODULE, str(path.absolute()), str(folder), field, str(min_seconds)]
    # The packages of this process, also if a script has found them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    result = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    try:
        answer: dict[str, str] = json.loads(result.stdout)
    except ValueError:
        raise InvalidInput(field, f"{path} is a damaged HDF5 file: {_ending(result)}; export it again") from None
    if "reason" in answer:
        raise InvalidInput(answer["field"], answer["reason"])
    if "unavailable" in answer:
        raise ServiceUnavailable(answer["unavailable"])
    manifest = Manifest.parse(answer["manifest"].encode())
    return manifest, {name: folder / name for name in manifest.blobs}


def _ending(result: subprocess.CompletedProcess[bytes]) -> str:
    """How the process that read a file ended."""
    if result.returncode == -signal.SIGXCPU:
        return "reading it does not end"
    if result.returncode < 0:
        return f"reading it ends with {signal.Signals(-result.returncode).name}"
    last = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return f"reading it fails ({last[:200]})"


def _limit(size: int, min_seconds: int) -> None:
    """Set the limits of this process for a file of some bytes."""
    seconds = round(time.process_time()) + min_seconds + size // _BYTES_PER_SECOND
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * size + _MIN_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Read a file, and print its manifest or the error as JSON."""
    from longshore.shared.model_formats.hdf5 import read_hdf5 as read

    path, folder, field = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    answer: dict[str, str]
    try:
        _limit(path.stat().st_size, int(sys.argv[4]))
        manifest, _ = read(path, folder, field)
        answer = {"manifest": manifest.canonical().decode()}
    except InvalidInput as error:
        answer = {"field": error.field, "reason": error.reason}
    except (LongshoreError, OSError) as error:
        answer = {"unavailable": str(error)}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # what the file damaged in the library must not fail the end of the process


if __name__ == "__main__":
    main()
