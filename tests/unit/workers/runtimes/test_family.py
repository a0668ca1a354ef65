"""A version of a family, loaded and run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from pydantic import JsonValue
from torch import nn

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.families import CnnConfig, MlpConfig
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.store.manifest import Blob, Manifest
from longshore.workers.families.cnn import CNN
from longshore.workers.families.mlp import MLP
from longshore.workers.families.model import assemble
from longshore.workers.families.standardize import Standardize
from longshore.workers.families.weights import save_weights
from longshore.workers.inference.batch_runner import NOT_FINITE
from longshore.workers.runtimes.base import Runtime
from longshore.workers.runtimes.family import fill_module, load
from longshore.workers.runtimes.network import NetworkRuntime
from tests.computing import compute

ALL = slice(0, 50)
CPU = torch.device("cpu")
ROWS = np.random.default_rng(0).normal(2, 3, (50, 3)).astype(np.float32)
CLASSIFIER = Signature(
    features=(Feature(name="a"), Feature(name="b", width=2)),
    task="classification",
    target="y",
    labels=("one", 'a "quote"', "grüße", "\\"),
)
REGRESSOR = Signature(features=(Feature(name="b", width=3),), task="regression", target="y")


def batch(rows: npt.NDArray[np.float32]) -> pa.RecordBatch:
    """The rows as both signatures read them, and a column that neither does."""
    columns = {
        "name": pa.array(["x"] * len(rows)),
        "b": pa.array(rows[:, 1:].tolist(), pa.list_(pa.float32())),
        "a": pa.array(rows[:, 0]),
    }
    return pa.RecordBatch.from_pydict(columns)


def wide(rows: npt.NDArray[np.float32]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"b": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])})


def network(outputs: int, **options: object) -> nn.Sequential:
    torch.manual_seed(outputs)
    inner = MLP.build(MlpConfig.model_validate({"hidden": [8], **options}), 3, outputs)
    return assemble(inner, Standardize.measure(torch.from_numpy(ROWS), torch.arange(len(ROWS)))).eval()


def version(module: nn.Module, signature: Signature, path: Path, **options: object) -> Manifest:
    """Write the weights of a version and describe it."""
    save_weights(module, path)
    content = path.read_bytes()
    blob = Blob(digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content))
    values = {"family": "mlp", "config": {"hidden": [8]}, "created_at": "2026-01-01T00:00:00Z"}
    return Manifest.model_validate(values | {"weights": blob, "signature": signature} | options)


def test_embeddings_have_a_width_and_length_1(tmp_path: Path) -> None:
    signature = REGRESSOR.model_copy(update={"task": "embedding", "embedding_width": 4})
    path = tmp_path / "weights"
    manifest = version(network(4), signature, path)
    outputs, errors = compute(load(manifest, path, CPU), wide(ROWS))
    assert errors == {}
    vectors = np.array([output["embedding"] for output in outputs if output is not None])
    raw = network(4)(torch.from_numpy(ROWS)).detach().numpy()
    np.testing.assert_allclose(vectors, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5, atol=1e-6)
    unknown = manifest.model_copy(update={"signature": signature.model_copy(update={"embedding_width": None})})
    with pytest.raises(InvalidInput, match=r"^signature.embedding_width: a family's version has one"):
        load(unknown, path, CPU)


def loaded(tmp_path: Path, signature: Signature) -> tuple[nn.Module, NetworkRuntime]:
    module = network(len(signature.labels or [0]))
    path = tmp_path / "weights"
    return module, load(version(module, signature, path), path, CPU)


@pytest.mark.parametrize("batch_size", [1, 7, 50, 64])
def test_classes_are_those_of_a_plain_forward_pass(tmp_path: Path, batch_size: int) -> None:
    module, runtime = loaded(tmp_path, CLASSIFIER)
    scores, classes = module(torch.from_numpy(ROWS)).softmax(1).max(1)
    found, errors = compute(runtime, batch(ROWS), batch_size)
    outputs = [output for output in found if output is not None]
    assert errors == {}
    assert CLASSIFIER.labels is not None
    assert [output["label"] for output in outputs] == [CLASSIFIER.labels[index] for index in classes.tolist()]
    assert len({output["label"] for output in outputs}) > 1
    # Other batch sizes add in another order: the last bits of float32 differ.
    found_scores = np.array([output["score"] for output in outputs], np.float32)
    np.testing.assert_allclose(found_scores, scores.detach().numpy(), rtol=1e-6)


def test_values_are_those_of_a_plain_forward_pass(tmp_path: Path) -> None:
    module, runtime = loaded(tmp_path, REGRESSOR)
    found, _ = compute(runtime, wide(ROWS))
    values = np.array([output["value"] for output in found if output is not None], np.float32)
    np.testing.assert_array_equal(values, module(torch.from_numpy(ROWS)).flatten().detach().numpy())


def test_a_loaded_version_is_a_runtime_that_knows_its_size(tmp_path: Path) -> None:
    _, family = loaded(tmp_path, CLASSIFIER)
    runtime: Runtime = family
    assert runtime.signature == CLASSIFIER
    assert runtime.nbytes == 4 * (3 + 3 + 3 * 8 + 8 + 8 * 4 + 4)


def test_bad_rows_fail_alone(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    module = network(4)
    # Large weights, so that a row can be good and its outputs still be too large.
    module.get_parameter("network.2.weight").data.mul_(1000)
    runtime = load(version(module, CLASSIFIER, path), path, CPU)
    good, _ = compute(runtime, batch(ROWS))
    columns = batch(ROWS).to_pydict()
    columns["a"][7], columns["b"][9], columns["a"][11] = None, [1.0], 3e38
    columns["b"][11] = [3e38, 3e38]
    mixed = pa.RecordBatch.from_pydict(columns, schema=batch(ROWS).schema)
    found, errors = compute(runtime, mixed)
    assert sorted(errors) == [7, 9, 11]
    assert errors[11] == NOT_FINITE
    assert NOT_FINITE not in (errors[7], errors[9])
    assert found == [None if row in (7, 9, 11) else output for row, output in enumerate(good)]
    allowed, errors = compute(runtime, mixed, allow_nan=True)
    assert sorted(errors) == [7, 9]
    assert allowed[11] == {"label": None, "score": None}


def test_no_rows_give_no_rows(tmp_path: Path) -> None:
    _, runtime = loaded(tmp_path, CLASSIFIER)
    assert compute(runtime, batch(ROWS).slice(0, 0)) == ([], {})


def test_a_version_without_standardisation_is_loaded(tmp_path: Path) -> None:
    module = assemble(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)), None)
    runtime = load(version(module, REGRESSOR, tmp_path / "weights"), tmp_path / "weights", CPU)
    found = runtime.forward(runtime.prepare(wide(ROWS)), ALL)
    assert torch.equal(found, module(torch.from_numpy(ROWS)))


def test_dropout_is_off(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    runtime = load(version(network(1, dropout=0.9), REGRESSOR, path, config={"hidden": [8], "dropout": 0.9}), path, CPU)
    prepared = runtime.prepare(wide(ROWS))
    assert torch.equal(runtime.forward(prepared, ALL), runtime.forward(prepared, ALL))


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ({"config": {"hidden": [9]}}, CorruptBlob, r"do not fit family 'mlp': .*\(8,\), not float32 \(9,\)"),
        ({"family": "linear", "config": {}}, CorruptBlob, "do not fit family 'linear'"),
        ({"family": "absent"}, InvalidInput, "family: 'absent'"),
        ({"config": {"hiden": [9]}}, InvalidInput, r"config\.hiden"),
        ({"family": "cnn", "config": {"input_shape": [1, 2, 2]}}, InvalidInput, r"config\.input_shape"),
    ],
)
def test_a_manifest_that_does_not_fit_its_weights_is_refused(
    tmp_path: Path, options: dict[str, object], kind: type[Exception], reason: str
) -> None:
    path = tmp_path / "weights"
    manifest = version(network(4), CLASSIFIER, path, **options)
    with pytest.raises(kind, match=reason):
        load(manifest, path, CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_gives_what_the_cpu_gives(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    manifest = version(network(4), CLASSIFIER, path)
    prepared = [load(manifest, path, torch.device(name)) for name in ("cpu", "cuda:0")]
    cpu, cuda = (runtime.forward(runtime.prepare(batch(ROWS)), ALL).cpu() for runtime in prepared)
    assert torch.equal(cpu.argmax(1), cuda.argmax(1))
    torch.testing.assert_close(cpu, cuda)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_convolutions_on_a_gpu_give_what_those_on_the_cpu_give(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = CnnConfig(input_shape=(3, 16, 16), kernel_size=3)
    module = assemble(CNN.build(config, 768, 1), None).eval()
    signature = Signature(features=(Feature(name="b", width=768),), task="regression", target="y")
    path = tmp_path / "weights"
    manifest = version(module, signature, path, family="cnn", config=config.model_dump(mode="json"))
    images = np.random.default_rng(0).normal(size=(50, 768)).astype(np.float32)
    runtimes = [load(manifest, path, torch.device(name)) for name in ("cpu", "cuda:0")]
    cpu, cuda = (runtime.forward(runtime.prepare(wide(images)), ALL).cpu() for runtime in runtimes)
    torch.testing.assert_close(cpu, module(torch.from_numpy(images)))
    torch.testing.assert_close(cpu, cuda, rtol=1e-3, atol=1e-3)  # cuDNN may take TF32


def test_a_configuration_of_another_size_than_the_weights_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(assemble(MLP.build(MlpConfig(hidden=(2,)), 3, 1), None), path)
    # 4 terabytes, if it were built before it is compared.
    settings: dict[str, JsonValue] = {"hidden": [1_000_000, 1_000_000]}
    with pytest.raises(CorruptBlob, match="the weights do not fit family 'mlp'"):
        fill_module("mlp", settings, REGRESSOR, path)
