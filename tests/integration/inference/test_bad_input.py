"""Bad input is refused at submission: the error names the field and the reason, and nothing is queued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client, Infer, Train
from longshore.producers.data import Data
from longshore.shared.errors import InvalidInput, UnknownModel
from tests.integration import digits
from tests.integration.cluster import Cluster


@pytest.fixture(scope="module")
def data(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that digits:1 was trained on."""
    path = digits.write(tmp_path_factory.mktemp("data") / "digits.parquet")
    client.train("digits", "linear", path, "label", epochs=1).wait(120)
    return path


@pytest.fixture
def nothing_queued(cluster: Cluster, data: Path) -> Iterator[None]:
    """Checks afterwards that the test has left no job, shard or input behind."""

    def count() -> tuple[object, ...] | None:
        with cluster.ledger.database.connection() as link:
            return link.execute(
                "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM shards), (SELECT count(*) FROM inputs)"
            ).fetchone()

    before = count()
    yield
    assert count() == before


IMAGE = np.zeros((2, 64), np.float32)


@pytest.mark.usefixtures("nothing_queued")
@pytest.mark.parametrize(
    ("model", "rows", "options", "field", "reason"),
    [
        ("nothing", IMAGE, {}, "model", "there is no model 'nothing'; the models are digits"),
        ("digits:7", IMAGE, {}, "model", "no digits:7; versions: 1"),
        ("digits@live", IMAGE, {}, "model", "aliases: none"),
        ("Digits", IMAGE, {}, "model", "not a model name"),
        ("digits:x", IMAGE, {}, "model", "version number"),
        ("digits", IMAGE, {"batchsize": 3}, "batchsize", "did you mean batch_size?"),
        ("digits", IMAGE, {"batch_size": 0}, "batch_size", "greater than or equal to 1"),
        ("digits", IMAGE, {"batch_size": "many"}, "batch_size", "'many'"),
        ("digits", IMAGE, {"priority": 10}, "priority", "10"),
        ("digits", IMAGE, {"device": "tpu"}, "device", "'tpu'"),
        ("digits", IMAGE, {"timeout": -1}, "timeout", "-1"),
        ("digits", IMAGE, {"rows_per_shard": 0}, "rows_per_shard", "0"),
        ("digits", IMAGE, {"format": "csv"}, "format", "leave it out"),
        ("digits", np.zeros((2, 63), np.float32), {}, "data", "63"),
        ("digits", np.zeros((0, 64), np.float32), {}, "data", "at least one row"),
        ("digits", [{"image": [0.0] * 64}], {}, "data", "no column 'pixels'"),
        ("digits", [{"pixels": [0.0] * 64}, {"pixel": 1}], {}, "data", "row 1"),
        ("digits", [{"pixels": [0.0] * 63}], {}, "data", "row 0"),
        ("digits", [{"pixels": "cat"}], {}, "data", "pixels"),
        ("digits", [{"pixels": [float("nan")] * 64}], {}, "data", "not a finite"),
        ("digits", {"pixels": object()}, {}, "data", "object"),
        ("digits", "/nowhere/rows.parquet", {}, "data", "/nowhere/rows.parquet"),
        ("digits", "/etc/hostname", {}, "data", "operating system"),
        ("digits", "/usr/bin/env", {}, "data", "suffix"),
        ("digits", "/bin", {}, "data", "folder"),
    ],
)
def test_inference(client: Client, model: str, rows: Data, options: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.infer(model, rows, **options)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert reason in refused.value.reason
    assert refused.value.exit_code == 2


@pytest.mark.usefixtures("nothing_queued")
@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"family": "mpl"}, "family", "'mpl'"),
        ({"target": "digit"}, "target", "no column 'digit'"),
        ({"model": "a b"}, "model", "not a model name"),
        ({"options": {"epoch": 3}}, "epoch", "did you mean epochs?"),
        ({"options": {"epochs": 0}}, "epochs", "0"),
        ({"options": {"learning_rate": "fast"}}, "learning_rate", "'fast'"),
        ({"options": {"validation": 1.0}}, "validation", "less than 1"),
        ({"options": {"momentum": 0.9}}, "momentum", "adam takes none"),
        ({"options": {"alias": "3"}}, "alias", "not only digits"),
        ({"options": {"features": ["label"]}}, "features", "'label' is the target"),
        ({"options": {"features": ["edges"]}}, "features", "no column 'edges'"),
        ({"options": {"config": {"hiden": [3]}}}, "config.hiden", "did you mean config.hidden?"),
        ({"options": {"config": {"hidden": [0]}}}, "config.hidden", "greater than or equal to 1"),
        ({"family": "cnn"}, "config.input_shape", "required"),
        ({"family": "cnn", "options": {"config": {"input_shape": [3, 8, 8]}}}, "config.input_shape", "192"),
        ({"family": "cnn", "options": {"config": {"input_shape": [1, 8, 8]}}}, "config.kernel_size", "5 is larger"),
        ({"options": {"rows_per_shard": 5}}, "rows_per_shard", "unknown option"),
    ],
)
def test_training(client: Client, data: Path, changes: dict[str, object], field: str, reason: str) -> None:
    given = {"model": "digits", "family": "mlp", "data": data, "target": "label", "options": {}} | changes
    with pytest.raises(InvalidInput) as refused:
        client.submit_many([Train(**given)])  # type: ignore[arg-type]  # the values are of each field's type
    assert refused.value.field == field
    assert reason in refused.value.reason


@pytest.mark.usefixtures("nothing_queued")
def test_damaged_files(client: Client, data: Path, tmp_path: Path) -> None:
    whole = data.read_bytes()
    broken = {"cut.parquet": whole[: len(whole) // 2], "empty.csv": b"", "text.parquet": b"hello", "bad.jsonl": b"{]\n"}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput) as refused:
            client.infer("digits", tmp_path / name)
        assert refused.value.field == "data"
        assert name in refused.value.reason


@pytest.mark.usefixtures("nothing_queued")
def test_columns_of_a_file(client: Client, tmp_path: Path) -> None:
    wrong = {
        "other.parquet": (pa.table({"image": [[0.0]]}), "no column 'pixels'; the data has 'image'"),
        "narrow.parquet": (digits.table(np.zeros((4, 64), np.float32)).rename_columns(["p"]), "no column 'pixels'"),
        "text.parquet": (pa.table({"pixels": ["cat"]}), "column 'pixels' has text (string)"),
        "width.parquet": (
            pa.table({"pixels": pa.FixedSizeListArray.from_arrays(np.zeros(63, np.float32), 63)}),
            "not lists of 64 numbers",
        ),
    }
    for name, (table, reason) in wrong.items():
        pq.write_table(table, tmp_path / name)
        with pytest.raises(InvalidInput) as refused:
            client.infer("digits", tmp_path / name)
        assert refused.value.field == "data"
        assert reason in refused.value.reason


@pytest.mark.usefixtures("nothing_queued")
def test_one_bad_request_of_many_refuses_all_and_is_named(client: Client) -> None:
    requests = [Infer("digits", IMAGE[:1]) for _ in range(20)]
    requests[13] = Infer("digits", np.zeros((1, 5), np.float32))
    with pytest.raises(InvalidInput) as refused:
        client.submit_many(requests)
    assert refused.value.field == "requests[13].data"
    requests[13] = Infer("cats", IMAGE[:1])
    with pytest.raises(UnknownModel) as unknown:
        client.submit_many(requests)
    assert unknown.value.field == "requests[13].model"


def test_an_idempotency_key_means_one_job(client: Client, data: Path) -> None:
    first = client.infer("digits", IMAGE, idempotency_key="monday")
    assert client.infer("digits", IMAGE, idempotency_key="monday").id == first.id
    with pytest.raises(InvalidInput, match="idempotency_key"):
        client.infer("digits", IMAGE + 1, idempotency_key="monday")
    with pytest.raises(InvalidInput, match="idempotency_key"):
        client.infer("digits", IMAGE, idempotency_key="monday", batch_size=2)
    file = client.infer("digits", data, idempotency_key="tuesday")
    assert client.infer("digits", data, idempotency_key="tuesday").id == file.id


def test_text_that_postgres_cannot_hold(client: Client) -> None:
    with pytest.raises(InvalidInput, match="NUL character"):
        client.infer("digits", IMAGE, idempotency_key="nul\x00")
