"""Programs from elsewhere: imported by the command line, run by the workers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper
from torch import nn

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, JobFailed
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.pt2_files import save
from tests.unit.shared.model_formats.onnx.files import program
from tests.waiting import TIMEOUT_S

CNN = {"input_shape": [1, 8, 8], "channels": [4], "kernel_size": 3, "hidden": [16]}
NAMES = [f"digit {number}" for number in range(10)]
SIGNATURE = {
    "features": [{"name": "pixels", "width": digits.WIDTH}],
    "task": "classification",
    "target": "label",
    "labels": NAMES,
}


@pytest.fixture(scope="module")
def longshore(cluster: Cluster) -> CommandLine:
    return CommandLine(cluster.environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtimes")
    (folder / "signature.json").write_text(json.dumps(SIGNATURE))
    return folder


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    """Convolution over images of 1 x 8 x 8, so that rows must be given their shape back."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10)).eval()


# The exporter's own packages still use what PyTorch has deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_exported_program_gives_what_the_network_gives(
    client: Client, longshore: CommandLine, network: nn.Sequential, folder: Path
) -> None:
    path = folder / "model.onnx"
    images, _ = digits.digits()
    shaped = torch.from_numpy(images).reshape(-1, 1, 8, 8)
    rows = torch.export.Dim("rows")
    torch.onnx.export(network, (shaped[:2],), path, dynamic_shapes=({0: rows},), external_data=False, verbose=False)

    given = ("models", "import", path, "--name", "shapes", "--signature", folder / "signature.json")
    assert longshore(*given, "--alias", "best").out == "shapes:1\n"
    assert "runtime   onnx\n" in longshore("models", "show", "shapes@best").out
    assert longshore("models", "versions", "shapes").out.splitlines()[1].split()[:3] == ["1", "best", "onnx"]

    data = digits.write(folder / "digits.parquet")
    found = client.infer("shapes@best", data, rows_per_shard=500, batch_size=77).wait(TIMEOUT_S).results()
    with torch.inference_mode():
        scores, classes = network(shaped).softmax(1).max(1)
    assert found["row"].to_pylist() == list(range(len(images)))
    assert found["label"].to_pylist() == [NAMES[index] for index in classes.tolist()]
    np.testing.assert_allclose(found["score"].to_numpy(), scores.numpy(), rtol=1e-5)

    exported = client.models.export("shapes:1", folder / "exported")
    assert sorted(file.name for file in exported.iterdir()) == ["manifest.json", "model.onnx"]
    copy = client.models.import_(exported, "copied")
    assert copy.digest == client.models.get("shapes:1").digest
    one = client.infer("copied:1", images[:9]).wait(TIMEOUT_S).results()
    assert one["label"].to_pylist() == found["label"].to_pylist()[:9]


def test_a_program_of_torch_export_gives_what_the_network_gives(
    client: Client, longshore: CommandLine, network: nn.Sequential, folder: Path
) -> None:
    path = save(network, (1, 8, 8), folder / "model.pt2")
    given = ("models", "import", path, "--name", "graphs", "--signature", folder / "signature.json")
    assert longshore(*given, "--alias", "best").out == "graphs:1\n"
    assert "runtime   pt2\n" in longshore("models", "show", "graphs@best").out

    images, _ = digits.digits()
    data = digits.write(folder / "graphs.parquet")
    done = longshore("infer", "graphs@best", data, "--rows-per-shard", "500", "--wait", "--json")
    found = client.job(str(done.fields["id"])).results()
    with torch.inference_mode():
        scores, classes = network(torch.from_numpy(images).reshape(-1, 1, 8, 8)).softmax(1).max(1)
    assert found["row"].to_pylist() == list(range(len(images)))
    assert found["label"].to_pylist() == [NAMES[index] for index in classes.tolist()]
    np.testing.assert_allclose(found["score"].to_numpy(), scores.numpy(), rtol=1e-5)

    exported = client.models.export("graphs:1", folder / "exported-graphs")
    assert sorted(file.name for file in exported.iterdir()) == ["manifest.json", "program.json", "weights.safetensors"]
    copy = client.models.import_(exported, "graphs-copied")
    assert copy.digest == client.models.get("graphs:1").digest
    one = client.infer("graphs-copied:1", images[:9], precision="bf16").wait(TIMEOUT_S).results()
    np.testing.assert_allclose(one["score"].to_numpy(), scores.numpy()[:9], rtol=0.05)
    with pytest.raises(InvalidInput, match="compile: True: a version of the runtime pt2 has its own"):
        client.infer("graphs:1", images[:9], compile=True)


def test_a_trained_version_is_exported_for_others(client: Client, longshore: CommandLine, folder: Path) -> None:
    images, _ = digits.digits()
    data = digits.write(folder / "train.parquet")
    client.train("trained", "cnn", data, "label", config=CNN, epochs=1, seed=0).wait(TIMEOUT_S)  # type: ignore[arg-type]
    wanted = client.infer("trained", images[:64], logits=True).wait(TIMEOUT_S).results()
    signature = client.models.get("trained").manifest["signature"]
    (folder / "trained.json").write_text(json.dumps(signature))

    done = longshore("models", "export", "trained:1", "-o", folder / "trained.onnx")
    assert done.out == f"exported trained:1 to {folder / 'trained.onnx'}\n", done.err
    session = onnxruntime.InferenceSession(folder / "trained.onnx", providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"input": images[:64]})
    logits = np.array(wanted["logits"].to_pylist(), np.float32)
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4)

    assert longshore("models", "export", "trained:1", folder / "graph", "--format", "pt2").code == 0
    for name in ("trained.onnx", "graph"):
        given = ("models", "import", folder / name, "--name", "back", "--signature", folder / "trained.json")
        assert longshore(*given).code == 0
        again = client.infer("back", images[:64], logits=True).wait(TIMEOUT_S).results()
        assert again["label"].to_pylist() == wanted["label"].to_pylist()
        np.testing.assert_allclose(np.array(again["logits"].to_pylist(), np.float32), logits, rtol=1e-4, atol=1e-4)

    client.models.export("trained:1", folder / "trained.h5")
    parameters = client.models.import_(folder / "trained.h5", "parameters")
    assert parameters.digest == client.models.get("trained:1").digest
    for arguments, said in (
        (("trained:1", folder / "trained.h5"), "it already exists"),
        (("trained:1", folder / "x", "--format", "tf"), "format: 'tf' is not a format; the formats are folder, onnx"),
        (("trained:1",), "specify PATH once, as an argument or with -o"),
        (("back:2", folder / "back.onnx"), "onnx: a version of the runtime pt2 can only be exported as a folder"),
    ):
        done = longshore("models", "export", *arguments)
        assert (done.code, said in done.err) == (2, True), done.err


def test_a_program_that_cannot_be_loaded_ends_its_job_once(client: Client, folder: Path) -> None:
    path = folder / "broken.onnx"
    nodes = [helper.make_node("Absent", ["input"], ["output"])]
    path.write_bytes(program(nodes, ("rows", digits.WIDTH), ("rows", 10)).SerializeToString())
    client.models.import_(path, "broken", signature=SIGNATURE)
    job = client.infer("broken", digits.write(folder / "rows.parquet"), rows_per_shard=500)
    with pytest.raises(JobFailed, match="ONNX Runtime cannot load the program"):
        job.wait(TIMEOUT_S)
    assert max(shard.attempt for shard in job.shards()) == 1


def test_what_cannot_be_run_is_refused_at_import(longshore: CommandLine, folder: Path) -> None:
    path = folder / "fixed.onnx"
    path.write_bytes(program([], (32, digits.WIDTH), (32, 10)).SerializeToString())
    arguments = ("models", "import", path, "--name", "fixed")
    for more, said in (
        ((), "signature: required"),
        (("--signature", folder / "signature.json"), "path: input 'input' (32, 64) takes exactly 32 rows at a time"),
    ):
        done = longshore(*arguments, *more)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert said in done.err
