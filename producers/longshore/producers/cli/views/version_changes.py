"""What a command did to a version."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from longshore.producers.cli.output import print_json

if TYPE_CHECKING:
    from longshore.producers.cli.options import Options
    from longshore.shared.ledger.records import VersionRecord


def print_done(options: Options, record: VersionRecord, line: str, more: Mapping[str, object]) -> None:
    """Print what a command did to a version.

    :param line: for people.
    :param more: for programs, beside the model, the number and the digest of the version.
    """
    if options.as_json:
        print_json({"model": record.model, "version": record.version, "digest": record.digest, **more})
    else:
        sys.stdout.write(f"{line}\n")
