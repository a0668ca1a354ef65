"""Rows to train, validate and test on, as a caller names them; and what of them is refused, and when."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.records import MetricRecord
from tests.images import encoded, write_folder
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S, wait_until


def clouds(count: int, far: float = 4.0, **more: object) -> dict[str, list[object]]:
    """Two clouds of points, one around 0 and one around ``far``, with their labels."""
    draw = torch.randn(count, 2, generator=torch.Generator().manual_seed(count))
    a, b = (draw + torch.arange(count)[:, None] % 2 * far).T.tolist()
    return {"a": a, "b": b, "y": ["near", "far"] * (count // 2)} | {name: list(value) for name, value in more.items()}  # type: ignore[call-overload]


def write(path: Path, columns: Mapping[str, list[object]]) -> Path:
    table = pa.table(dict(columns))
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


def last(metrics: Sequence[MetricRecord]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def test_rows_of_their_own_to_validate_and_to_test_on(client: Client, tmp_path: Path) -> None:
    train = write(tmp_path / "train.parquet", clouds(100))
    validation = write(tmp_path / "val.csv", clouds(40))
    # These are labelled the wrong way round: nothing but the test metrics may tell.
    wrong = clouds(20, far=-4.0)
    options = {"epochs": 5, "batch_size": 10, "learning_rate": 0.05}
    job = client.train("own", "linear", train, "y", validation=validation, test=wrong, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    found = last(job.metrics())
    assert found["val_accuracy"] >= 0.95
    assert 0 <= found["test_accuracy"] <= 0.75
    manifest = client.models.get("own:1").manifest
    metrics = manifest["metrics"]
    assert isinstance(metrics, dict)
    assert {name for name in metrics if name.startswith("test_")} == {"test_accuracy", "test_loss"}
    assert metrics["test_accuracy"] == found["test_accuracy"]
    # Without the test the same version comes out, but for its metrics.
    client.train("own", "linear", train, "y", validation=validation, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    assert manifest["weights"] == client.models.get("own:2").manifest["weights"]


def test_a_column_that_says_who_is_held_out(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    part = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    path = write(tmp_path / "rows.csv", clouds(100, part=part))
    run = CommandLine(cluster.environment)
    done = run("train", path, "--model", "parts", "--family", "linear", "--target", "y", "--split", "part", "--wait")
    assert done.code == 0, done.err
    assert "test_accuracy=" in done.out
    shown = run("models", "show", "parts")
    assert "test_accuracy=" in shown.out
    assert shown.out.partition("features")[2].partition("\n")[0].split() == ["a,", "b"]


def test_fractions_from_the_command_line(cluster: Cluster, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", clouds(100))
    run = CommandLine(cluster.environment)
    options = ["--model", "drawn", "--family", "linear", "--target", "y", "--validation", "0.2", "--test", "0.2"]
    done = run("train", path, *options, "--no-stratify", "--wait", "--json")
    outcome = done.fields["outcome"]
    assert isinstance(outcome, dict)
    assert {"val_loss", "test_loss"} <= set(outcome["metrics"])


def test_a_column_of_one_value_is_noted(client: Client) -> None:
    job = client.train("flat", "linear", clouds(200, c=[7] * 200), "y", epochs=1).wait(TIMEOUT_S)
    assert job.record().notes == [
        "constant in the rows to train on, which teaches nothing: 'c' (7); kept, unless left out of features"
    ]


def test_the_scale_is_that_of_the_rows_to_train_on(client: Client, tmp_path: Path) -> None:
    rows = clouds(100)
    held_out = {**clouds(20), "a": [1e6] * 20}
    client.train("scale", "linear", rows, "y", validation=held_out, test=held_out, epochs=1).wait(TIMEOUT_S)
    tensors = load_file(Path(client.models.export("scale:1", tmp_path / "out")) / "weights.safetensors")
    a = torch.tensor(rows["a"])
    assert tensors["standardize.mean"][0].item() == pytest.approx(a.mean().item(), rel=1e-4)
    assert tensors["standardize.std"][0].item() == pytest.approx(a.std(correction=0).item(), rel=1e-4)


NAN, INFINITE = float("nan"), float("inf")
STRICT: dict[str, object] = {"preprocess": {"c": {"missing": "error"}}}


@pytest.mark.parametrize(
    ("columns", "options", "field", "reason"),
    [
        (clouds(40, c=[1.0] * 39 + [NAN]), STRICT, "data", "row 39: column 'c': nan is not a finite"),
        (clouds(40, c=[1.0] * 39 + [INFINITE]), {}, "data", "row 39: column 'c': inf is not a finite"),
        (clouds(40, c=[1.0] * 39 + [None]), STRICT, "data", "row 39: column 'c'"),
        (clouds(40, c=[[1, 2]] * 39 + [[1]]), {}, "data", "row 39: column 'c'"),
        (clouds(40, c=[b"red"] * 40), {}, "features", "column 'c' has image files"),
        (clouds(40), STRICT, "preprocess", "no column 'c'"),
        (clouds(40), {"preprocess": {"y": "category"}}, "preprocess", "'y' is the target"),
        (clouds(40), {"preprocess": {"a": "datetime"}}, "preprocess", "column 'a' has one number per row"),
        (clouds(40, y=["near"] * 40), {}, "target", "the one label 'near'"),
        (clouds(40, y=["near", "far"] * 19 + ["near", None]), {}, "target", "'y' has no value in row 39;"),
        (clouds(40, y=[0.5] * 39 + [NAN]), {}, "target", "'y' has no value in row 39;"),
        (clouds(40), {"features": ["a", "a"]}, "features", "'a' is listed 2 times"),
        (clouds(40), {"split": "part"}, "split", "no column 'part'"),
        (clouds(40, part=[1] * 40), {"split": "part"}, "split", "has one number per row"),
        (clouds(40, part=["train"] * 40), {"split": "part", "test": 0.1}, "test", "'part' says which rows"),
        (
            clouds(40, part=["train"] * 40),
            {"split": "part", "features": ["a", "part"]},
            "features",
            "'part' is the split column",
        ),
        (clouds(40), {"validation": 0.5, "test": 0.5}, "test", "leave no rows to train on"),
        (clouds(40), {"validation": 0, "stratify": True}, "stratify", "no fraction of the rows is drawn"),
        (clouds(40), {"validation": -0.5}, "validation", "-0.5: give a fraction, 0 or more and less than 1"),
        (clouds(40), {"test": None}, "test", "None: give a fraction"),
        (clouds(40), {"validation": []}, "validation", "there are no rows"),
        (clouds(40), {"validation": "/nowhere/val.csv"}, "validation", "/nowhere/val.csv"),
        (clouds(40), {"test": {"a": [1.0], "y": ["near"]}}, "test", "no column 'b'"),
        (clouds(40), {"test": clouds(4, y=[0, 1] * 2)}, "test", "the target 'y' has one number per row"),
        (
            clouds(40),
            {"test": clouds(4, b=[NAN] * 4), "preprocess": {"b": {"missing": "error"}}},
            "test",
            "row 0: column 'b': nan",
        ),
    ],
)
def test_what_is_refused_at_submission(
    client: Client, columns: dict[str, list[object]], options: dict[str, object], field: str, reason: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.train("bad", "linear", columns, "y", **options)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert reason in refused.value.reason
    assert not [job for job in client.jobs(kind="train") if job.record().model == "bad"]


@pytest.mark.parametrize(
    ("columns", "options", "reason"),
    [
        (clouds(40), {"validation": clouds(4, y=["near", "far", "near", "odd"])}, "'odd' in row 3 of validation"),
        (clouds(40), {"test": clouds(4, y=["near", "far", "near", "odd"])}, "'odd' in row 3 of test"),
        (clouds(4), {"validation": 0.05}, "validation: 0.05 of 4 rows in 2 classes holds none out"),
        (clouds(40, y=list(map(str, range(40)))), {}, "0.1 of 40 rows in 40 classes holds none out"),
        (clouds(40, part=["val", "test"] * 20), {"split": "part"}, "'part' calls no row train"),
        (clouds(40, part=["train", "rest"] * 20), {"split": "part"}, "'part' has 'rest' in row 1"),
        (clouds(4, part=["train"] * 3 + ["test"], y=["p", "q", "p", "r"]), {"split": "part"}, "'r' in row 3 for test"),
    ],
)
def test_what_only_the_worker_can_find(
    client: Client, columns: dict[str, list[object]], options: dict[str, object], reason: str
) -> None:
    job = client.train("worse", "linear", columns, "y", **options)  # type: ignore[arg-type]
    with pytest.raises(JobFailed) as failed:
        job.wait(TIMEOUT_S)
    assert reason in str(failed.value)
    # It would be no better the second time.
    assert [shard.attempt for shard in job.shards()] == [1]


def test_a_bad_row_far_down_in_a_file(client: Client, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", clouds(5000, c=[1.0] * 4999 + [INFINITE]))
    with pytest.raises(JobFailed, match=r"data: row 4999: column 'c': inf"):
        client.train("far", "linear", path, "y").wait(TIMEOUT_S)


def test_columns_that_share_a_name(client: Client, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,a,y\n1,2,0\n3,4,1\n")
    with pytest.raises(InvalidInput, match=r"data: .*the header has 'a' 2 times"):
        client.train("twice", "linear", tmp_path / "rows.csv", "y")


def test_an_image_that_cannot_be_decoded(client: Client, tmp_path: Path) -> None:
    files = {
        f"{name}/{number}.png": encoded(shade) for name, shade in (("dark", 0), ("light", 255)) for number in range(5)
    }
    files["light/3.png"] = files["light/3.png"][:40]
    folder = write_folder(tmp_path / "images", files)
    config = {"input_shape": [3, 4, 4], "kernel_size": 3, "channels": [2], "hidden": []}
    with pytest.raises(JobFailed, match=r"data: row 8: column 'image': cannot be decoded"):
        client.train("images", "cnn", folder, "label", config=config).wait(TIMEOUT_S)  # type: ignore[arg-type]


def test_a_file_that_changes_after_submission(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    train, held_out = write(tmp_path / "train.parquet", clouds(40)), write(tmp_path / "val.parquet", clouds(10))
    cluster.stop_workers()
    try:
        jobs = [client.train("changed", "linear", train, "y", validation=held_out)]
        write(tmp_path / "new.parquet", clouds(20))
        os.replace(tmp_path / "new.parquet", held_out)  # noqa: PTH105
    finally:
        cluster.start_workers()
    with pytest.raises(JobFailed, match=r"val\.parquet has \d+ bytes, but had \d+ when the job was submitted"):
        jobs[0].wait(TIMEOUT_S)


def test_a_file_that_is_streamed(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", clouds(3000))
    held_out = write(tmp_path / "val.parquet", clouds(200))
    options = {"epochs": 3, "learning_rate": 0.05, "stream": True, "shuffle_window": 300}
    job = client.train("streamed", "linear", train, "y", validation=held_out, test=0.1, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    found = last(job.metrics())
    assert found["val_accuracy"] >= 0.95
    assert found["test_accuracy"] >= 0.95
    # The same again, from the command line.
    run = CommandLine(cluster.environment)
    done = run(
        *("train", train, "--model", "streamed", "--family", "linear", "--target", "y", "--epochs", "3", "--wait"),
        *("--validation", held_out, "--test", "0.1", "--learning-rate", "0.05", "--stream", "--shuffle-window", "300"),
    )
    assert done.code == 0, done.err
    assert client.models.get("streamed:1").manifest["weights"] == client.models.get("streamed:2").manifest["weights"]


def test_a_stream_is_checked_before_it_is_trained_on(client: Client, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", clouds(5000, c=[1.0] * 4999 + [INFINITE]))
    job = client.train("far", "linear", path, "y", stream=True)
    with pytest.raises(JobFailed, match=r"data: row 4999: column 'c': inf"):
        job.wait(TIMEOUT_S)
    assert not job.metrics()


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        ({"stream": True, "stratify": True}, "stratify", "drawn one by one"),
        ({"shuffle_window": 10}, "shuffle_window", "rows in memory are shuffled all together"),
        ({"stream": True, "shuffle_window": 0}, "shuffle_window", "greater than or equal to 1"),
        ({"augment": {"rotation": 5}}, "augment", "reads no images"),
        ({"augment": {"flip": 5}}, "augment", "unknown key flip"),
        ({"augment": {"horizontal_flip": 5}}, "augment", "less than or equal to 1"),
    ],
)
def test_options_that_do_not_go_together(
    client: Client, tmp_path: Path, options: dict[str, object], field: str, reason: str
) -> None:
    path = write(tmp_path / "rows.parquet", clouds(40))
    with pytest.raises(InvalidInput) as refused:
        client.train("bad", "linear", path, "y", **options)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert reason in refused.value.reason
    with pytest.raises(InvalidInput, match="stream: rows that come with the call are in memory"):
        client.train("bad", "linear", clouds(40), "y", stream=True)


@pytest.mark.parametrize("stream", [False, True])
def test_images_that_are_changed_at_random(client: Client, cluster: Cluster, tmp_path: Path, stream: bool) -> None:
    shades = {"dark": 40, "light": 200}
    files = {f"{name}/{n}.png": encoded(shade + n, size=(8, 8)) for name, shade in shades.items() for n in range(20)}
    folder = write_folder(tmp_path / "images", files)
    run = CommandLine(cluster.environment)
    model = f"changed-{stream}".lower()
    augment = {
        "horizontal_flip": 0.5,
        "random_crop": '{"padding": 1}',
        "rotation": 10,
        "color_jitter": '{"brightness": 0.1, "contrast": 0.1, "saturation": 0.1}',
        "random_erasing": '{"p": 0.3}',
    }
    done = run(
        *("train", folder, "--model", model, "--family", "cnn", "--target", "label", "--epochs", "30", "--wait"),
        *(part for name, value in augment.items() for part in ("--augment", f"{name}={value}")),
        *("--set", "input_shape=[3,8,8]", "--set", "kernel_size=3", "--set", "channels=[4]", "--set", "hidden=[]"),
        *(("--stream",) if stream else ()),
    )
    assert done.code == 0, done.err
    results = client.infer(model, folder).wait(TIMEOUT_S).results()
    wanted = [name.partition("/")[0] for name in sorted(files)]
    assert sum(found == name for found, name in zip(results["label"].to_pylist(), wanted, strict=True)) >= 38


def test_a_killed_worker_costs_a_stream_time_and_nothing_else(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", clouds(4000))
    options = {"epochs": 60, "stream": True, "shuffle_window": 500, "test": 0.1}
    client.train("undisturbed", "mlp", path, "y", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    job = client.train("killed", "mlp", path, "y", **options)  # type: ignore[arg-type]
    wait_until(job.metrics, "an epoch")
    [child] = cluster.child_pids()
    os.kill(child, signal.SIGKILL)
    job.wait(TIMEOUT_S)
    assert [shard.attempt for shard in job.shards()] == [2]
    one, other = (client.models.get(f"{name}:1").manifest for name in ("undisturbed", "killed"))
    assert one["weights"] == other["weights"]
    assert one["metrics"] == other["metrics"]
