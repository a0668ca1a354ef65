"""Serve the gateway of the cluster that the environment or the home names, until SIGTERM or Ctrl-C.

Run as ``python -m longshore.producers.gateway [--address ADDRESS] [--port PORT]``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from longshore.broker.logs import configure_logging
from longshore.producers.gateway.access.login import check_login
from longshore.producers.gateway.app import make_app
from longshore.producers.gateway.serving.admission import Admission
from longshore.producers.gateway.serving.server import serve
from longshore.producers.gateway.settings import load_gateway_settings
from longshore.shared.errors import LongshoreError
from longshore.shared.settings import Process, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """:returns: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m longshore.producers.gateway", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="default: %(default)s")
    options = parser.parse_args(arguments)
    configure_logging()
    try:
        settings = load_settings(process=Process.GATEWAY)
        check_login(settings)
        gateway_settings = load_gateway_settings()
        admission = Admission(gateway_settings)
        app = make_app(settings, gateway_settings, admission)
        serve(app, admission, gateway_settings, address=options.address, port=options.port)
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
