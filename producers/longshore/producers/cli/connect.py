"""Finding and reaching the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from longshore.producers.cli.options import Options
from longshore.shared.settings import Settings, load_settings

if TYPE_CHECKING:
    from longshore.producers.client import Client
    from longshore.shared.ledger.ledger import Ledger


def find_settings(options: Options) -> Settings:
    """:raises NoCluster: no addresses are given and no home is up."""
    return load_settings(home=options.home)


@contextmanager
def connected(options: Options) -> Iterator[Client]:
    """A client of the cluster.

    :raises NoCluster: there is none; said before anything large is imported.
    """
    find_settings(options)
    from longshore.producers.client import Client

    with Client(home=options.home) as client:
        yield client


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger, for what a client does not answer."""
    from longshore.shared.ledger.ledger import Ledger

    with Ledger(settings.database_url, "longshore command line") as ledger:
        yield ledger
