"""One of the processes of a training, as the launcher starts it: ``python -m ...rank FOLDER``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from longshore.workers.train.distributed.lifeline import end_with_worker


def main() -> None:
    """Take part in the training that the launch in a folder asks for."""
    folder = Path(sys.argv[1])
    end_with_worker()
    status = 1
    try:
        # Imported now: torch takes seconds, in which the worker may end.
        from longshore.workers.train.distributed.rank_main import take_part

        status = take_part(folder)
    except Exception:
        logging.getLogger("longshore.workers.train.distributed.rank").exception("a process of a training failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # At once: threads that read ahead, or wait for another process, must not hold it up.
        os._exit(status)


if __name__ == "__main__":
    main()
