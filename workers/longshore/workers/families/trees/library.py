"""Imports LightGBM, which is an extra."""

from __future__ import annotations

import logging
from types import ModuleType

from longshore.shared.errors import InvalidInput

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
