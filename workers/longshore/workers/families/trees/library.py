"""Imports LightGBM, which is an extra."""

from __future__ import annotations

import logging
from types import ModuleType

import torch

from longshore.shared.errors import InvalidInput

#: Numbers for which one thread is enough: several would wait for each other longer than they compute.
_NUMBERS_OF_A_THREAD = 200_000
#: Where LightGBM's warnings go; otherwise it prints them.
log = logging.getLogger(__name__)


def library() -> ModuleType:
    """The module ``lightgbm``.

    :raises InvalidInput: it is not installed on this worker, or the system lacks OpenMP (libgomp).
    """
    try:
        import lightgbm
    except ImportError as error:
        raise InvalidInput(
            "family", f"LightGBM is not installed on this worker; pip install 'longshore[lightgbm]' ({error})"
        ) from None
    except OSError as error:
        raise InvalidInput(
            "family", f"LightGBM cannot be loaded on this worker; it needs OpenMP: apt-get install libgomp1 ({error})"
        ) from None
    lightgbm.register_logger(log)
    return lightgbm


def thread_count(numbers: int) -> int:
    """How many threads LightGBM gets: those of the worker, or fewer for little work.

    :param numbers: rows times columns.
    """
    return min(torch.get_num_threads(), 1 + numbers // _NUMBERS_OF_A_THREAD)
