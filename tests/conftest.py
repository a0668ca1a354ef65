"""How the tests are spread over processes, and how many cores a process uses."""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Generator, Iterator
from operator import attrgetter

import pytest
from hypothesis import HealthCheck, settings

#: Each process of the test run has services, and workers that load PyTorch: about 2 GiB, and at times more.
MAX_PROCESSES, BYTES_PER_PROCESS = 4, 3 << 30

# How long a case takes depends on what else the machine does. The cases of a test are the same in each run, so that one
# that fails has to do with what was changed; `--hypothesis-profile=random` looks for cases that nobody has tried.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("seeded", settings.get_profile("random"), derandomize=True)
settings.load_profile("seeded")
# Several processes share the cores: a thread of PyTorch that has nothing to do must sleep, not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The sources are compiled once, and not by each of some thousand processes, even if the environment asks for that.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process for each core, and one more if there is memory for it: tests often wait for others to do something.

    No other process than this one where single files are to be run.
    """
    if any(".py" in argument for argument in config.args):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // BYTES_PER_PROCESS
    return min(cores + 1, max(cores, fit), MAX_PROCESSES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the files with slow tests to the front, so that no process waits at the end for the one that runs them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the collector from scanning, now and later, what the test files import: near a million objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup() -> None:
    """Begin the draws of each test with a seed: not with what the tests before it in this process have left."""
    random.seed(0)
    for name, seed in (("numpy", "random.seed"), ("torch", "random.manual_seed")):
        # Not imported here: most tests do without.
        if name in sys.modules:
            attrgetter(seed)(sys.modules[name])(0)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks of a few numbers take several times as long on several threads, if other processes use the cores."""
    import torch  # takes seconds, and most tests do not need it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
