"""What the collector looks at."""

from __future__ import annotations

import subprocess
import sys

#: Run by an interpreter of its own: the collector would look at all that the tests of this process have imported.
PROGRAM = """
import gc
import weakref

from longshore.workers.process.gc_tuning import collect_and_freeze, freeze_heap


class Large:
    # In a circle, so that only the collector can remove it.
    def __init__(self):
        self.itself = self


large = Large()
gone = weakref.ref(large)
others = [Large() for _ in range(1000)]
before = gc.get_freeze_count()
freeze_heap()
assert gc.get_freeze_count() - before > len(others)
del large
gc.collect()
assert gone() is not None, "it was looked at"
collect_and_freeze()
assert gone() is None, "it was not looked at"
assert gc.get_freeze_count() > 1000
"""


def test_what_is_there_is_not_looked_at_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
