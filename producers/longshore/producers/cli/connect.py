"""Finding the cluster and connecting to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from longshore.producers.cli.options import Options
from longshore.shared.settings import Process, Settings, load_settings

if TYPE_CHECKING:
    from longshore.producers.client import Client
    from longshore.shared.ledger.ledger import Ledger


def find_settings(options: Options, process: Process = Process.PRODUCER) -> Settings:
    """The settings of the cluster, from the options and the environment.

    :param process: the kind of process, which decides about its login in a home.
    :raises NoCluster: there are no addresses, and no home is up.
    """
    return load_settings(home=options.home, process=process)


@contextmanager
def connected(options: Options) -> Iterator[Client]:
    """Connect a client to the cluster.

    :raises NoCluster: there is no cluster; raised before heavy packages are imported.
    """
    find_settings(options)
    from longshore.producers.client import Client

    class DirectClient(Client):
        """Never over HTTP, whatever the environment has for services."""

    with DirectClient(home=options.home) as client:
        yield client


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """Open the ledger, for queries that a client does not offer."""
    from longshore.shared.ledger.ledger import Ledger

    with Ledger(settings.database_url, "longshore command line") as ledger:
        yield ledger
