"""The settings of the gateway, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

#: The start of every variable.
_VARIABLE = "LONGSHORE_GATEWAY_"


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """How the gateway serves.

    :param max_body_bytes: the longest body of a request, but for uploads of files.
    :param predict_timeout_s: seconds that a caller waits for the outputs of a prediction, at most.
    """

    max_body_bytes: int = 16 << 20
    predict_timeout_s: float = 30.0


def load_gateway_settings(environ: Mapping[str, str] = os.environ) -> GatewaySettings:
    """:raises InvalidInput: a variable has a wrong value."""
    return GatewaySettings()
