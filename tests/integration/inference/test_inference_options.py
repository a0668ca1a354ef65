"""What a job can be told about how it is computed, on real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from longshore.producers import Client, Infer
from longshore.shared.errors import InvalidInput, JobFailed
from tests.integration.cluster import Cluster
from tests.text_models import save_sentence
from tests.unit.shared.model_formats.onnx.files import program
from tests.waiting import TIMEOUT_S, wait_until

WHOLE = {"features": [{"name": "x"}], "task": "regression", "target": "y"}
CLASSES = {"features": [{"name": "x"}], "task": "classification", "target": "y", "labels": ["no", "maybe", "yes"]}
VECTOR = {"features": [{"name": "x"}], "task": "embedding", "target": "embedding"}


@pytest.fixture(scope="module")
def client(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("programs")
    with cluster.client() as client:
        for name, weights, signature in (
            ("same", [[1.0]], WHOLE),
            ("classes", [[-1.0, 0.0, 1.0]], CLASSES),
            ("vector", [[1.0, 2.0]], VECTOR),
        ):
            path = folder / f"{name}.onnx"
            path.write_bytes(times(weights).SerializeToString())
            client.models.import_(path, name, signature=signature)
        table = pa.table({"x": np.arange(64, dtype=np.float32), "y": np.arange(64) % 2})
        client.train("learned", "mlp", table, "y", epochs=1).wait(TIMEOUT_S)
        yield client


def times(weights: list[list[float]]) -> onnx.ModelProto:
    """A program that multiplies a row of one number by a matrix."""
    matrix = numpy_helper.from_array(np.array(weights, np.float32), "w")
    node = helper.make_node("MatMul", ["input", "w"], ["output"])
    return program([node], ("rows", 1), ("rows", len(weights[0])), initializers=[matrix])


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    rows=st.integers(1, 3000),
    per_shard=st.integers(100, 4000) | st.none(),
    batch_size=st.integers(1, 5000) | st.just("auto"),
    form=st.sampled_from(["parquet", "csv", "inline"]),
)
def test_rows_keep_their_numbers_under_every_sharding(
    client: Client, tmp_path: Path, rows: int, per_shard: int | None, batch_size: int | str, form: str
) -> None:
    table = pa.table({"x": np.arange(rows, dtype=np.float32)})
    data: object = table
    if form == "parquet":
        data = tmp_path / "rows.parquet"
        pq.write_table(table, data, row_group_size=max(1, rows // 3))
    elif form == "csv":
        data = tmp_path / "rows.csv"
        pyarrow.csv.write_csv(table, data)
    job = client.infer("same", data, rows_per_shard=per_shard, batch_size=batch_size)  # type: ignore[arg-type]
    found = job.wait(TIMEOUT_S).results()
    assert found["row"].to_pylist() == list(range(rows))
    assert found["value"].to_pylist() == list(range(rows))


def test_more_than_the_label_can_be_asked_for(client: Client) -> None:
    job = client.infer("classes", [{"x": 1.0}, {"x": -2.0}], top_k=2, logits=True)
    first, second = job.wait(TIMEOUT_S).results().to_arrow().to_pylist()
    assert (first["label"], second["label"]) == ("yes", "no")
    assert [each["label"] for each in first["top_k"]] == ["yes", "maybe"]
    assert first["top_k"][0]["score"] == first["score"]
    assert (first["logits"], second["logits"]) == ([-1.0, 0.0, 1.0], [2.0, 0.0, -2.0])


def test_an_embedding_is_a_list(client: Client) -> None:
    found = client.infer("vector", [{"x": 1.0}, {"x": 3.0}]).wait(TIMEOUT_S).results()
    assert found["embedding"].to_pylist() == [[1.0, 2.0], [3.0, 6.0]]


def test_outputs_that_are_not_finite_are_errors_unless_allowed(client: Client) -> None:
    rows = [{"x": 1.0}, {"x": 3e38}]
    job = client.infer("vector", rows)
    with pytest.raises(JobFailed, match=r"1 of 2 rows failed, .*; row 1: the model's output is not a finite number$"):
        job.wait(TIMEOUT_S)
    assert [(error.row, error.message) for error in job.errors()] == [(1, "the model's output is not a finite number")]
    allowed = client.infer("vector", rows, allow_nan=True).wait(TIMEOUT_S).results()
    assert allowed["embedding"][1].as_py()[1] is None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_is_what_was_asked_for(client: Client, precision: str) -> None:
    rows = [{"x": float(number)} for number in range(50)]
    exact = client.infer("learned", rows).wait(TIMEOUT_S).results()["score"].to_numpy()
    found = client.infer("learned", rows, precision=precision).wait(TIMEOUT_S).results()["score"].to_numpy()  # type: ignore[arg-type]
    if precision == "fp32":
        np.testing.assert_allclose(found, exact, rtol=1e-6)
    else:
        # bfloat16 has 8 bits of mantissa.
        np.testing.assert_allclose(found, exact, atol=0.02)
        assert (found != exact).any()


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("vector", {"top_k": 3}, "top_k: 3: the version's task is embedding, which has no classes"),
        ("same", {"precision": "bf16"}, "precision: 'bf16': a version of the runtime onnx has its own"),
        ("same", {"compile": True}, "compile: True: a version of the runtime onnx has its own"),
        ("learned", {"precision": "int8"}, "precision: 'int8'"),
        ("learned", {"batch_size": 0}, "batch_size: 0"),
        ("learned", {"batch_size": "big"}, "batch_size: 'big'"),
        ("learned", {"max_wait_ms": -1}, "max_wait_ms: -1"),
    ],
)
def test_what_a_version_cannot_do_is_refused_at_once(
    client: Client, model: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        client.infer(model, [{"x": 1.0}], **options)  # type: ignore[arg-type]


def test_what_is_learned_is_kept_for_all_workers(cluster: Cluster, client: Client) -> None:
    table = pa.table({"x": np.arange(2_000_000, dtype=np.float32)})
    client.infer("learned", table, rows_per_shard=1_000_000).wait(TIMEOUT_S)
    digest = client.models.get("learned").digest
    [found] = cluster.ledger.batch_sizes.read(digest, "cpu")
    assert (found.length, found.rows_per_second > 0) == (0, True)
    assert found.batch_size & (found.batch_size - 1) == 0


def test_small_jobs_that_run_together_learn_too(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    """A text network begins with 32 rows in a pass, however many texts wait."""
    save_sentence(tmp_path / "model")
    digest = client.models.import_(tmp_path / "model", "short-texts").digest

    def learned() -> bool:
        jobs = client.submit_many([Infer("short-texts", ["a few words"])] * 400)
        client.wait(jobs, TIMEOUT_S, progress=False)
        return bool(cluster.ledger.batch_sizes.read(digest, "cpu"))

    wait_until(learned, "a batch size of texts that run together")
