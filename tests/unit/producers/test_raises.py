"""What public methods say that they raise: every method that asks Postgres says what happens without it."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from longshore.producers import AsyncClient, AsyncJob, Client, Job
from longshore.producers.aio.models import AsyncModels
from longshore.producers.models.client import ModelsClient
from longshore.producers.then import Then
from longshore.shared import errors
from longshore.shared.errors import LongshoreError, ServiceUnavailable

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
ROWS = [{"x": 1.0}]
CLASSES = {each.__name__: each for each in (Client, Job, ModelsClient, Then)}
#: They ask nobody.
SILENT = {"close", "forget_parent"}


def functions(of: type) -> dict[str, Callable[..., object]]:
    """The public methods and properties of a class."""
    members = {name: each.fget if isinstance(each, property) else each for name, each in vars(of).items()}
    return {name: each for name, each in members.items() if not name.startswith("_") and inspect.isfunction(each)}


def raised(function: Callable[..., object]) -> set[str]:
    """The classes that the docstring of a function says it raises."""
    named = re.findall(r":raises ([\w, ]+):", function.__doc__ or "")
    return {name.strip() for names in named for name in names.split(",")}


@pytest.mark.parametrize("of", CLASSES.values(), ids=lambda of: of.__name__)
def test_every_method_says_what_it_raises(of: type) -> None:
    for name, function in functions(of).items():
        classes = raised(function)
        assert classes or name in SILENT, f"{of.__name__}.{name} does not say what it raises"
        for each in classes:
            assert issubclass(getattr(errors, each), LongshoreError), f"{of.__name__}.{name}: {each}"


@pytest.mark.parametrize("of", [AsyncClient, AsyncJob, AsyncModels])
def test_coroutines_say_it_or_where_it_is_said(of: type) -> None:
    for name, function in functions(of).items():
        if name in SILENT | {"id", "settings", "ledger", "call"}:
            continue
        referred = re.match(r"See :(?:meth|attr):`(\w+)\.(\w+)`", function.__doc__ or "")
        said = functions(CLASSES[referred[1]])[referred[2]] if referred else function
        assert raised(said), f"{of.__name__}.{name}"
        assert referred is None or referred[2] == name


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A client of services that are not there."""
    addresses = {"database_url": "postgresql://x:y@127.0.0.1:1/z", "redis_url": "redis://127.0.0.1:1/0"}
    with Client(**addresses, store=f"file://{tmp_path}/store", producer="tests") as client:
        yield client


def test_without_postgres_every_method_raises_what_it_says(client: Client, tmp_path: Path) -> None:
    job = client._job(ID)
    data = tmp_path / "x.csv"
    data.write_text("x,y\n1,2\n3,4\n")
    calls: dict[Callable[..., object], Callable[[], object]] = {
        Client.infer: lambda: client.infer("m:1", ROWS),
        Client.generate: lambda: client.generate("m:1", ["Hi"]),
        Client.train: lambda: client.train("m", "mlp", data, "y"),
        Client.tune: lambda: client.tune("m", "mlp", data, "y", {"learning_rate": [0.1]}),
        Client.cross_validate: lambda: client.cross_validate("m", "mlp", data, "y"),
        Client.evaluate: lambda: client.evaluate("m:1", ROWS),
        Client.submit_many: lambda: client.submit_many([]) or client.infer("m:1", ROWS),
        Client.job: lambda: client.job(ID),
        Client.jobs: client.jobs,
        Client.wait: lambda: client.wait([job], 0),
        Client.warm_up: client.warm_up,
        Client.prune: lambda: client.prune("30d"),
        Client.disk_usage: client.disk_usage,
        Job.record: job.record,
        Job.is_version_deleted: job.is_version_deleted,
        Job.why: job.why,
        Job.wait: lambda: job.wait(0),
        Job.results: job.results,
        Job.stream: lambda: next(job.stream()),
        Job.parts: job.parts,
        Job.metrics: job.metrics,
        Job.trials: job.trials,
        Job.evaluation: job.evaluation,
        Job.chain: job.chain,
        Job.plot: lambda: job.plot(tmp_path / "x.png"),
        Job.report: lambda: job.report(tmp_path / "x.html"),
        Job.tensorboard: lambda: job.tensorboard(tmp_path),
        Job.shards: job.shards,
        Job.rows_not_run: job.rows_not_run,
        Job.errors: job.errors,
        Job.texts: job.texts,
        Job.logs: lambda: list(job.logs()),
        Job.cancel: job.cancel,
        Job.retry: job.retry,
        Job.extend: lambda: job.extend(1),
        ModelsClient.list: client.models.list,
        ModelsClient.versions: lambda: client.models.versions("m"),
        ModelsClient.get: lambda: client.models.get("m:1"),
        ModelsClient.promote: lambda: client.models.promote("m:1", "a"),
        ModelsClient.remove_alias: lambda: client.models.remove_alias("m", "a"),
        ModelsClient.history: lambda: client.models.history("m", "a"),
        ModelsClient.rollback: lambda: client.models.rollback("m"),
        ModelsClient.delete: lambda: client.models.delete("m:1"),
        ModelsClient.export: lambda: client.models.export("m:1", tmp_path / "out"),
        Then.evaluate: lambda: job.then.evaluate(ROWS),
        Then.infer: lambda: job.then.infer(ROWS),
        Then.generate: lambda: job.then.generate(["Hi"]),
        Then.promote: lambda: job.then.promote("a"),
    }
    for function, call in calls.items():
        assert "ServiceUnavailable" in raised(function), function.__qualname__
        with pytest.raises(ServiceUnavailable):
            call()
    for property_ in ("state", "progress", "notes"):
        with pytest.raises(ServiceUnavailable):
            getattr(job, property_)
    # These need more than an address that is not there: a file to import, blobs to sweep.
    elsewhere = {Client.clean, Client.sweep_store, ModelsClient.import_}
    asked = {function for of in CLASSES.values() for function in functions(of).values()}
    assert {each.__qualname__ for each in asked - calls.keys() - elsewhere if "ServiceUnavailable" in raised(each)} == {
        "Job.state",
        "Job.progress",
        "Job.notes",
    }


def test_coroutines_raise_the_same(tmp_path: Path) -> None:
    async def check() -> None:
        addresses = {"database_url": "postgresql://x:y@127.0.0.1:1/z", "redis_url": "redis://127.0.0.1:1/0"}
        store = f"file://{tmp_path}/store"
        async with AsyncClient(**addresses, store=store, producer="tests") as client:
            for coroutine in (client.job(ID), client.infer("m:1", ROWS), client.jobs(), client.models.list()):
                with pytest.raises(ServiceUnavailable):
                    await coroutine

    asyncio.run(check())
