"""One of the processes of a training, as the launcher starts it: ``python -m ...rank FOLDER``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from longshore.workers.train.distributed.lifeline import end_with_worker


def main() -> None:
    """Run this rank of the training that a folder's launch spec describes."""
    folder = Path(sys.argv[1])
    end_with_worker()
    status = 1
    try:
        # Imported late: torch takes seconds to import, and the worker may end meanwhile.
        from longshore.workers.train.distributed.rank_main import run_rank

        status = run_rank(folder)
    except Exception:
        logging.getLogger("longshore.workers.train.distributed.rank").exception("a process of a training failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Exit at once: threads that prefetch, or wait for another process, must not delay it.
        os._exit(status)


if __name__ == "__main__":
    main()
