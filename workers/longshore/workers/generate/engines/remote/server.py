"""The process of an engine: ``python -m longshore.workers.generate.engines.remote.server FOLDER SOCKET``.

It answers the calls that come over the socket with that file descriptor, until its standard input is closed.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from longshore.workers.process.parent_end import request_signal
from longshore.workers.train.distributed.lifeline import end_with_worker

if __name__ == "__mp_main__":
    # A process that vLLM has started, which imports this module before anything else. It ends with the process of the
    # engine, and with the worker's child.
    request_signal(signal.SIGKILL)
    end_with_worker()


def main() -> None:
    """Open an engine and answer."""
    folder = Path(sys.argv[1])
    end_with_worker(folder)
    # Imported late: torch takes seconds to import, and the worker may end meanwhile.
    from longshore.workers.generate.engines.remote.serve import serve

    serve(folder, int(sys.argv[2]))
    # The other end has closed the socket, and ends this process, or has ended; then the thread that waits for that
    # removes the folder first.
    threading.Event().wait()


if __name__ == "__main__":
    main()
