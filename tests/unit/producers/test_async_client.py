"""What the classes for asyncio offer is what those that block do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

from longshore import producers
from longshore.producers import AsyncClient, AsyncJob, Client, Job
from longshore.producers.aio.models import AsyncModels
from longshore.producers.http.aio.client import AsyncHttpClient
from longshore.producers.http.client import HttpClient
from longshore.producers.models.client import ModelsClient

PAIRS = [(Client, AsyncClient), (Job, AsyncJob), (ModelsClient, AsyncModels)]
#: What one of the classes has and the other has not.
ONLY_SYNC = {"forget_parent"}
ONLY_ASYNC = {"follow", "records", "submit", "call", "outcome", "ledger"}
#: A coroutine shows nothing while it waits, and asyncio has ways of its own to act on each end.
BLOCKING_PARAMETERS = ("progress", "on_end")


def names(of: type) -> set[str]:
    return {name for name in vars(of) if not name.startswith("_")}


def parameters(function: object) -> list[str]:
    assert callable(function)
    return [
        str(each.replace(annotation=inspect.Parameter.empty))
        for each in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_both_have_the_same_names(blocking: type, asynchronous: type) -> None:
    assert names(blocking) - ONLY_SYNC - {"id"} == names(asynchronous) - ONLY_ASYNC - {"id", "settings"}


def test_both_over_http_have_the_same_names_besides() -> None:
    assert names(HttpClient) - names(Client) == names(AsyncHttpClient) - names(AsyncClient) == {"upload_file"}


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_both_take_the_same_arguments(blocking: type, asynchronous: type) -> None:
    for name in [*sorted(names(blocking) & names(asynchronous)), "__init__"]:
        one, other = getattr(blocking, name), getattr(asynchronous, name)
        if name == "__init__" and blocking is not Client:
            continue
        if isinstance(one, property) or isinstance(other, property):
            continue
        expected = [each for each in parameters(one) if not each.startswith(BLOCKING_PARAMETERS)]
        assert parameters(other) == expected, name


def test_the_package_lists_its_names() -> None:
    assert [name for name in dir(producers) if not name.startswith("__")] == sorted(producers.__all__)
    for name in producers.__all__:
        assert getattr(producers, name).__name__ == name


def test_the_version_is_that_of_the_distribution() -> None:
    assert producers.__version__ == version("longshore")
    assert "__version__" in dir(producers)


def test_the_client_for_asyncio_needs_no_torch() -> None:
    code = "import sys; from longshore.producers import AsyncClient; AsyncClient; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
