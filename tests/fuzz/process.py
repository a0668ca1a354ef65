"""Runs inputs in a process of their own, with limits of memory and of time for each of them.

``python -m tests.fuzz.process REPORT START`` runs the inputs that ``REPORT.plan`` lists, from ``START`` on. It writes a
line of JSON for each finding to the file ``REPORT``, and to ``REPORT.at`` how many inputs it has begun.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from longshore.shared.errors import LongshoreError
from tests.fuzz.mutations import Files, mutate
from tests.fuzz.target import Target

#: What an input may take: seconds of a processor, and bytes beyond those of the process at its start.
MAX_SECONDS, MAX_BYTES = 10.0, 3 * 2**30
#: One of so many inputs is valid, so that the valid paths are run, too.
_VALID = 50


class TooSlow(BaseException):
    """An input takes longer than :data:`MAX_SECONDS`."""


class Escaped(Exception):
    """An input made files outside of its folder."""


def make_input(target: Target, seeds: Sequence[Files], number: int) -> Files:
    """The input of a number, always the same."""
    if number < len(seeds):
        return seeds[number]
    rng = random.Random(f"{target.name}/{number}")
    return rng.choice(seeds) if rng.randrange(_VALID) == 0 else mutate(rng, rng.choice(seeds), seeds)


class Sandbox:
    """Folders for inputs, deep enough that a path with some ``..`` is noticed."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="longshore-fuzz-"))
        self._folder = self._root / "a/b/c/input"
        self._temporary = self._root / "temporary"
        for folder in (self._folder.parent, self._temporary):
            folder.mkdir(parents=True)
        #: All folders between inputs.
        self._expected = (self._root, self._root / "a", self._root / "a/b", self._folder.parent, self._temporary)
        tempfile.tempdir = str(self._temporary)
        # PyTorch makes its cache when it is first used.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self._root.parent / f"{self._root.name}-torch")

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder for one input.

        :raises Escaped: a file is outside of it afterwards.
        """
        self._folder.mkdir()
        try:
            yield self._folder
        finally:
            try:
                self._folder.rmdir()
            except OSError:
                shutil.rmtree(self._folder, ignore_errors=True)
        found = [path.name for folder in self._expected for path in folder.iterdir()]
        if sorted(found) != ["a", "b", "c", "temporary"]:
            raise Escaped(f"files outside of the folder: {found}")

    def close(self) -> None:
        """Remove all folders."""
        for folder in (self._root, self._root.parent / f"{self._root.name}-torch"):
            shutil.rmtree(folder, ignore_errors=True)


def run_input(target: Target, files: Files, sandbox: Sandbox) -> BaseException | None:
    """What escapes from an input; ``None`` if it is read, or refused with an error of Longshore."""
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    try:
        with sandbox.folder() as folder:
            target.run(files, folder)
    except LongshoreError:
        return None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def describe(error: BaseException) -> tuple[str, str]:
    """A name for the kind of an error, by where it was raised, and its text."""
    frames = [
        f"{Path(frame.filename).name}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "longshore/" in frame.filename
    ]
    where = frames[-1] if frames else "tests"
    return f"{type(error).__name__} in {where}", str(error)[:300].encode("ascii", "replace").decode()


def limit_memory() -> None:
    """Let the process take no more than :data:`MAX_BYTES` beyond what it has now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def stop(number: int, frame: FrameType | None) -> None:
    """Handles the signal of the timer."""
    raise TooSlow(f"more than {MAX_SECONDS:g} s")


def main() -> None:
    """See the module."""
    from tests.fuzz.targets import ALL

    report, start = Path(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGPROF, stop)
    sandbox = Sandbox()
    done = 0
    with report.open("a") as findings, Path(f"{report}.at").open("r+") as position:
        for name, first, count in json.loads(Path(f"{report}.plan").read_text()):
            skipped = min(count, max(0, start - done))
            done += skipped
            if skipped == count:
                continue
            target = ALL[name]
            seeds = target.seeds()
            for files in seeds:  # import what they need before memory is limited
                run_input(target, files, sandbox)
            limit_memory()
            for number in range(first + skipped, first + count):
                os.pwrite(position.fileno(), f"{done:20}".encode(), 0)
                done += 1
                error = run_input(target, make_input(target, seeds, number), sandbox)
                if error is not None:
                    kind, message = describe(error)
                    finding = {"target": name, "input": number, "kind": kind, "message": message}
                    findings.write(json.dumps(finding) + "\n")
                    findings.flush()
        os.pwrite(position.fileno(), f"{done:20}".encode(), 0)
    sandbox.close()
    os._exit(0)  # what an input damaged in native code must not fail the end of the process


if __name__ == "__main__":
    main()
