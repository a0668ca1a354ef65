"""The process that starts and monitors the processes of a training: ``python -m ...launcher FOLDER``.

https://docs.pytorch.org/docs/stable/elastic/agent.html
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

from longshore.workers.train.distributed.lifeline import end_with_worker, worker_has_ended

#: Seconds between two checks of the processes.
_POLL_INTERVAL_S = 0.05
#: Seconds that the other processes have to end after one has failed, before they are killed.
_STOP_TIMEOUT_S = 5
_HERE = "127.0.0.1"


def main() -> int:
    """Run the ranks that a folder's launch spec names until they end. Returns 0 if all succeeded."""
    folder = Path(sys.argv[1])
    end_with_worker(folder)
    # Imported late: torch takes seconds to import, and the worker may end meanwhile.
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from longshore.workers.train.distributed.failures import write_exit_codes
    from longshore.workers.train.distributed.launch_spec import read_launch_spec

    launch = read_launch_spec(folder)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=launch.devices,
        run_id=launch.claim.token.replace("/", "-"),
        # Not c10d: it unpickles what any process of this machine may have put into its store.
        rdzv_backend="static",
        rdzv_endpoint=f"{_HERE}:{_free_port()}",
        rdzv_configs={"rank": 0},
        local_addr=_HERE,
        # Only the ledger starts another attempt.
        max_restarts=0,
        monitor_interval=_POLL_INTERVAL_S,
        shutdown_timeout=_STOP_TIMEOUT_S,
    )
    if Path("/sys/class/net/lo").exists():
        # Otherwise Gloo listens at the address of the host name.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    try:
        elastic_launch(config, sys.executable)("-m", "longshore.workers.train.distributed.rank", str(folder))
    except ChildFailedError as error:
        if worker_has_ended():
            # So have the ranks, for the same reason. The thread that ends this process removes the folder first.
            threading.Event().wait()
        write_exit_codes({rank: failure.exitcode for rank, failure in error.failures.items()}, folder)
        return 1
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
